"""Rank correlation of predicted and measured latency on a stand-in for a device: C code pinned to one core.

    pip install 'archsieve[devices]'
    python benchmarks/device_latency.py --networks 16

The networks are those that calibrate a search: evenly spaced from few multiply-accumulates to many. Each is exported as
C code, compiled, and timed by its own timing.c under taskset, which counts the CPU time of its process. Each prediction
is by a model that was fitted on the other networks.
"""

import argparse
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from scipy.stats import spearmanr

from archsieve.models.export.c_files import build
from archsieve.models.export.timed_file import write_untrained
from archsieve.models.profiling.device_command import DeviceCommand
from archsieve.models.profiling.latency_predictor import leave_one_out_ms
from archsieve.search.runs.latency_calibration import evenly_spaced
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.search_space.named import named_space


def measured_ms(architecture: Architecture, core: int) -> tuple[float, float]:
    """Return the median and the 90th percentile of the milliseconds of the C code of an architecture."""
    with TemporaryDirectory() as folder:
        path = write_untrained(architecture, "c", Path(folder))
        build(path, "timing.c", path / "timing")
        row = DeviceCommand(f"taskset -c {core} {{model}}/timing", "one core").measure(path)
    return row["latency_ms_p50"], row["latency_ms_p90"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=16)
    parser.add_argument("--space", default="mixed")
    parser.add_argument("--side", type=int, default=8, help="pixels of the images, which are grey")
    parser.add_argument("--macs", default="1M")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--core", type=int, default=0)
    options = parser.parse_args()
    space = named_space(options.space, input_shape=(1, options.side, options.side), classes=10)
    networks = evenly_spaced(ConstrainedSpace(space, Budget(macs=options.macs)), options.networks, options.seed)
    rows = []
    for network in networks:
        rows.append(measured_ms(network, options.core))
        print(f"{rows[-1][0]:8.4f} ms  {network}", flush=True)
    times = [p50 for p50, _ in rows]
    predicted = leave_one_out_ms(networks, times)
    errors = [abs(guess - ms) / ms for guess, ms in zip(predicted, times, strict=True) if guess is not None]
    print(f"networks {len(networks)}, from {min(times):.4f} to {max(times):.4f} ms")
    print(f"Spearman of leave-one-out predictions: {spearmanr(predicted, times).statistic:.3f}")
    print(f"median error {median(errors):.1%}; median of (p90 - p50) / p50: {median((b - a) / a for a, b in rows):.1%}")


if __name__ == "__main__":
    main()
