"""Time an exported network on this machine: a reference for the program that `[device]` runs on a device.

    python examples/device_runner.py network.onnx [passes]

The network is a file of ONNX, of ExecuTorch (.pte) or of torch.export (.pt2). The last line of the output is the JSON
that archsieve reads: the median and the 90th percentile of the milliseconds of one image, and the number of passes. If
the network cannot run, the line has the reason. The reference in C is `timing.c` of `archsieve export --format c`.
"""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

WARMUP, PASSES = 5, 50


def runner(path: Path) -> Callable[[], object]:
    """Return a function that runs the network of `path` once, with a random image."""
    random = np.random.default_rng(0)
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (first,) = session.get_inputs()
        image = random.random([1, *first.shape[1:]], dtype=np.float32)
        return lambda: session.run(None, {first.name: image})
    import torch

    if path.suffix == ".pte":
        from executorch.runtime import Runtime

        method = Runtime.get().load_program(path).load_method("forward")
        one = torch.rand(method.metadata.input_tensor_meta(0).sizes())
        return lambda: method.execute([one])
    program = torch.export.load(path)
    module, shape = program.module(), program.example_inputs[0][0].shape
    batch = torch.rand(2, *shape[1:])[:1]
    return lambda: module(batch)


def measure(run: Callable[[], object], passes: int) -> dict[str, object]:
    """Return the line of the protocol for `passes` timed passes."""
    for _ in range(WARMUP):
        run()
    times = []
    for _ in range(passes):
        started = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - started))
    return {
        "latency_ms_p50": statistics.median(times),
        "latency_ms_p90": statistics.quantiles(times, n=10, method="inclusive")[-1],
        "n": passes,
        "warmup": WARMUP,
        "device": platform.machine(),
        "threads": int(os.environ.get("OMP_NUM_THREADS", "1")),
        "load": os.getloadavg()[0],
    }


if __name__ == "__main__":
    try:
        line = measure(runner(Path(sys.argv[1])), int(sys.argv[2]) if len(sys.argv) > 2 else PASSES)
    except (MemoryError, RuntimeError) as error:
        line = {"error": str(error)}
    print(json.dumps(line))
