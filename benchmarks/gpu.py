"""Compare trials per hour on one GPU with Ray Tune's defaults and DataLoader workers; measure the seconds to 94 %.

Part one trains the same networks (20-125M multiply-accumulates, drawn from a space of 32-pixel ResNets) for 10 epochs
on 50,000 images of CIFAR-10's shape. Both sides use bfloat16 and the same recipe. Ours: trials share the GPU by
predicted memory, workers are reused, images and augmentation are on the GPU, and everything is recorded in a database.
The peer: a plain ``Tuner(...)``, one GPU per trial, torchvision's transforms in DataLoader workers. Each measurement
runs in its own process; the start of Ray does not count.

Part two trains one network of ours on CIFAR-10 itself (``--cifar FOLDER``, in torchvision's layout). It reports how
many runs reach 94 % on the test images and how long they take, against airbench's published 2.59 s on one A100. The
recipe is fixed, so the test accuracy selects nothing. As in airbench, a first epoch that warms up the GPU does not
count.

    python benchmarks/gpu.py [--trials 8] [--rounds 3] [--cifar FOLDER] [--runs 5]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

AIRBENCH_S = 2.59  # 94 % on one A100 (Jordan 2024, arXiv 2404.00498)
BUDGET = {"min_macs": "20M", "macs": "125M"}
RECIPE = {"epochs": 10, "batch_size": 512, "lr": 0.4, "schedule": "one-cycle", "augmentation": "shift-flip"}


class Size(NamedTuple):
    """The size of the training; ``smoke`` makes it tiny, to test the benchmark on a machine without a GPU."""

    smoke: bool

    @property
    def gpus(self) -> float | str:
        return 0.0 if self.smoke else "auto"

    @property
    def n_images(self) -> int:
        return 512 if self.smoke else 50_000

    @property
    def recipe(self) -> dict[str, Any]:
        return {**RECIPE, **({"epochs": 1, "batch_size": 128} if self.smoke else {})}


def networks(trials: int) -> list[dict[str, Any]]:
    """Return ``trials`` different networks as JSON; both sides train the same ones."""
    import random

    from archsieve.spaces.architectures.budget import Budget
    from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
    from archsieve.spaces.constrained.sampling import sample_one
    from archsieve.spaces.search_space.named import named_space

    constrained, rng = ConstrainedSpace(named_space("cifar-resnet-space"), Budget(**BUDGET)), random.Random(0)
    by_fingerprint: dict[str, dict[str, Any]] = {}
    while len(by_fingerprint) < trials:  # a network can be drawn twice
        architecture = sample_one(constrained, rng)
        by_fingerprint[architecture.fingerprint] = architecture.to_json()
    return list(by_fingerprint.values())


def experiment_of(trials: int, size: Size) -> Any:
    from archsieve.search.experiment.experiment import experiment
    from archsieve.search.experiment.search_file import parse

    return experiment(
        parse(
            {
                "data": {"name": "cifar10"},
                "space": {"name": "cifar-resnet-space"},
                "budget": BUDGET,
                "recipe": size.recipe,
                "search": {"trials": trials, "searcher": "random", "start_from": networks(trials)},
                "resources": {"gpus_per_trial": size.gpus, "precision": "bf16"},
            }
        )
    )


def noise_data(size: Size) -> Any:
    """Return random images of CIFAR-10's shape: the speed does not depend on the content."""
    import torch

    from archsieve.models.data.dataset import ImageData, Split

    draw = torch.Generator().manual_seed(0)

    def split(n: int) -> Split:
        images = torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=draw)
        return Split(images, torch.randint(0, 10, (n,), generator=draw))

    names = tuple(str(label) for label in range(10))
    return ImageData.of("noise", names, train=split(size.n_images), val=split(size.n_images // 10))


def ours(trials: int, size: Size) -> float:
    """Return the seconds of a complete search of archsieve."""
    import ray

    from archsieve.results.database.store import open_store
    from archsieve.search.runs import tuner

    search, data = experiment_of(trials, size), noise_data(size)
    with tempfile.TemporaryDirectory() as folder, tuner.quiet(Path(folder) / "log"):
        ray.init("local", include_dashboard=False, log_to_driver=False)
        with open_store(Path(folder) / "archsieve.db", create=True) as store:
            dataset = {"content_hash": data.content_hash, "name": "noise"}
            run_id = store.create_run("gpu", search.to_json(), "random", 0, dataset, {})
            started = time.perf_counter()
            tuner.run_trials(search, data, store, run_id, Path(folder))
            seconds = time.perf_counter() - started
            states = [trial.state.value for trial in store.history(run_id)]
        ray.shutdown()
    assert states == ["completed"] * trials, states
    return seconds


def train_plainly(config: dict[str, Any], data: Any, size: Size) -> None:
    """Train as Ray Tune's users usually do: a DataLoader whose workers augment the images with torchvision."""
    import torch
    from ray import tune
    from torch.utils.data import DataLoader
    from torchvision.transforms import v2

    from archsieve.models.networks.build import build
    from archsieve.models.optimization.optimizers import lr_at, make_optimizer, set_lr
    from archsieve.spaces.architectures.architecture import Architecture
    from archsieve.spaces.recipes.recipe import Recipe

    device, recipe = torch.device("cpu" if size.smoke else "cuda"), Recipe(**size.recipe)
    module = build(Architecture.from_json(config["architecture"])).to(device)
    optimizer = make_optimizer(module, recipe)
    normalise = v2.Normalize(data.mean.tolist(), data.std.tolist())
    plain = v2.Compose([v2.ToDtype(torch.float32, scale=True), normalise])
    augmented = v2.Compose([v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip(), plain])

    class TransformedSplit(torch.utils.data.Dataset):
        def __init__(self, split, transform):
            self.split, self.transform = split, transform

        def __len__(self):
            return len(self.split)

        def __getitem__(self, index):
            return self.transform(self.split.images[index]), self.split.labels[index]

    workers = {"num_workers": 1 if size.smoke else 4, "persistent_workers": True, "pin_memory": not size.smoke}
    train = DataLoader(TransformedSplit(data.train, augmented), recipe.batch_size, shuffle=True, **workers)
    val = DataLoader(TransformedSplit(data.val, plain), 2 * recipe.batch_size, **workers)
    steps = recipe.epochs * len(train)
    for epoch in range(recipe.epochs):
        module.train()
        for index, (images, labels) in enumerate(train):
            # the same schedule as ours
            set_lr(optimizer, lr_at(recipe, epoch * len(train) + index, steps))
            with torch.autocast(device.type, dtype=torch.bfloat16):
                loss = torch.nn.functional.cross_entropy(module(images.to(device)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        module.eval()
        with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16):
            hits = sum(int((module(x.to(device)).argmax(1) == y.to(device)).sum()) for x, y in val)
        tune.report({"val_accuracy": hits / len(data.val)})


def peer(trials: int, size: Size) -> float:
    """Return the seconds of a plain ``Tuner(...)`` with defaults over the same networks."""
    import ray
    from ray import tune

    data = noise_data(size)
    with tempfile.TemporaryDirectory() as folder:
        ray.init("local", include_dashboard=False, log_to_driver=False)
        trainable = tune.with_parameters(train_plainly, data=data, size=size)
        search = tune.Tuner(
            trainable if size.smoke else tune.with_resources(trainable, {"cpu": 1, "gpu": 1}),
            param_space={"architecture": tune.grid_search(networks(trials))},
            run_config=tune.RunConfig(storage_path=folder),
        )
        started = time.perf_counter()
        results = search.fit()
        seconds = time.perf_counter() - started
        ray.shutdown()
    assert len(results) == trials
    assert not results.errors, results.errors
    return seconds


def to_94(folder: str, runs: int) -> list[tuple[float, float]]:
    """Return (seconds, test accuracy) of each of ``runs`` fits of one network on CIFAR-10."""
    import torch

    from archsieve.models.data.registry import load_data
    from archsieve.models.networks.build import build
    from archsieve.models.networks.compute import Compute
    from archsieve.models.training.evaluate import evaluate
    from archsieve.models.training.trainer import Fit
    from archsieve.spaces.architectures.architecture import Architecture
    from archsieve.spaces.blocks.standard import Conv, ConvPool, GlobalAverage, Residual
    from archsieve.spaces.recipes.recipe import Recipe

    data = load_data("cifar10", path=folder, val_fraction=0.02).to("cuda")
    blocks = (Conv(64), ConvPool(128), Residual(128), ConvPool(256), ConvPool(512), Residual(512), GlobalAverage())
    network = Architecture((3, 32, 32), blocks, 10)
    recipe = Recipe(
        epochs=16, batch_size=512, lr=0.4, schedule="one-cycle", label_smoothing=0.1, augmentation="shift-flip"
    )

    compute = Compute(torch.device("cuda"), "bf16", channels_last=True)

    def fit(seed: int) -> Fit:
        settings: dict[str, Any] = {"device": "cuda", "precision": "bf16", "channels_last": True}
        return Fit(build(network, seed=seed), data, recipe, seed=seed, **settings)

    fit(0).step()  # warms up the GPU
    results = []
    for seed in range(1, runs + 1):
        run = fit(seed)
        torch.cuda.synchronize()  # CUDA runs asynchronously
        started = time.perf_counter()
        while not run.done:
            run.step()
        torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        accuracy = evaluate(run.module, data.test, data, compute, 1024).accuracy
        results.append((seconds, accuracy))
    return results


def trials_per_hour(side: str, trials: int, smoke: bool) -> float:
    """Return the trials per hour of ``side``, measured in a new process."""
    command = [sys.executable, __file__, "--side", side, "--trials", str(trials), *(["--smoke"] if smoke else [])]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"})
    if result.returncode:
        raise SystemExit(f"{side} failed:\n{result.stderr[-3000:]}")
    rate = 3600 * trials / json.loads(result.stdout.splitlines()[-1])
    print(f"{side}: {rate:.1f} trials per hour", file=sys.stderr, flush=True)
    return rate


def print_rates(name: str, rates: list[float], trials: int) -> None:
    print(
        f"{name:38} {statistics.median(rates):9.1f} trials per hour "
        f"(min {min(rates):.1f}, max {max(rates):.1f}; {len(rates)} rounds of n = {trials})"
    )


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cifar", help="the folder of CIFAR-10, in torchvision's layout")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--smoke", action="store_true", help="tiny and on a CPU, to test the script; the results mean nothing"
    )
    parser.add_argument("--side", choices=["ours", "peer"], help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    import torch

    args = options()
    if args.side:
        print(json.dumps({"ours": ours, "peer": peer}[args.side](args.trials, Size(args.smoke))))
        return
    if not args.smoke and not torch.cuda.is_available():
        print(
            "this benchmark needs a CUDA GPU, but torch finds none; use --smoke to test the script on a CPU",
            file=sys.stderr,
        )
        raise SystemExit(4)
    device = "a CPU with --smoke: the results mean nothing" if args.smoke else torch.cuda.get_device_name()
    print(f"{device}, {os.cpu_count()} cores, torch {torch.__version__}, ray {version('ray')}")
    sides = ("ours", "peer")
    rates = [[trials_per_hour(side, args.trials, args.smoke) for side in sides] for _ in range(args.rounds)]
    print_rates("archsieve", [our_rate for our_rate, _ in rates], args.trials)
    print_rates("Tuner defaults with DataLoader workers", [peer_rate for _, peer_rate in rates], args.trials)
    ratios = sorted(our_rate / peer_rate for our_rate, peer_rate in rates)
    print(f"ratio {statistics.median(ratios):.2f} (min {ratios[0]:.2f}, max {ratios[-1]:.2f})")
    if args.cifar is None or args.smoke:
        print("seconds to 94 %: not measured; pass the folder of CIFAR-10 with --cifar")
        return
    results = to_94(args.cifar, args.runs)
    seconds, accuracies = zip(*results, strict=True)
    reached = sum(accuracy >= 0.94 for accuracy in accuracies)
    print(
        f"CIFAR-10: {statistics.median(seconds):.2f} s (min {min(seconds):.2f}, max {max(seconds):.2f}), "
        f"test accuracy {statistics.median(accuracies):.4f} (min {min(accuracies):.4f}, max {max(accuracies):.4f}), "
        f"n = {len(results)}, of which {reached} reach 94 %; airbench: 94 % in {AIRBENCH_S} s on one A100"
    )


if __name__ == "__main__":
    main()
