"""Workers on one machine hold the data once."""

import ctypes
import gc
from pathlib import Path
from typing import Any

import pytest
import torch

from archsieve.models.data.dataset import ImageData, Split
from archsieve.models.networks.build import build_for
from archsieve.models.training.trainer import fit
from archsieve.search.tasks.classification import ImageTask
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, GlobalAverage
from archsieve.spaces.recipes.recipe import Recipe

MIB = 2**20


def make_data(n: int) -> ImageData:
    images = torch.randint(0, 256, (n, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    train, val = Split(images[64:], torch.arange(n - 64) % 2), Split(images[:64], torch.arange(64) % 2)
    return ImageData("noise", ("a", "b"), train, val, None, torch.zeros(3), torch.ones(3), "noise")


class Worker:
    """Receives the data as a trial's worker does, and trains on all of them."""

    def private_bytes(self) -> int:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what is freed but kept for the next allocation varies
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))

    def train(self, data: ImageData) -> int:
        torch.set_num_threads(1)
        architecture, recipe = Architecture((3, 64, 64), (Conv(2), GlobalAverage()), 2), Recipe(epochs=1, batch_size=64)
        context = ImageTask().trial_context(data, torch.device("cpu"), precision="fp32", folds=3, fold_seed=0)
        self.context: Any = context  # a worker keeps the data and the folds for its next trial
        for fold in context.folds:  # type: ignore[attr-defined]
            fit(build_for(architecture, recipe, seed=0), fold, recipe, seed=0)
        return self.private_bytes()


@pytest.mark.slow  # two searches' workers
def test_two_workers_have_no_copy_of_their_own(ray_running: Any) -> None:
    few, many = ray_running.put(make_data(1200)), ray_running.put(make_data(5461))
    data_bytes = 5461 * 3 * 64 * 64
    assert data_bytes > 60 * MIB
    workers = [ray_running.remote(num_cpus=1)(Worker).remote() for _ in range(2)]
    try:
        before = ray_running.get([worker.train.remote(few) for worker in workers])
        after = ray_running.get([worker.train.remote(many) for worker in workers])
    finally:
        for worker in workers:
            ray_running.kill(worker)
    growth = [(b - a) / MIB for a, b in zip(before, after, strict=True)]
    assert max(growth) < 20, growth  # one copy of the additional images would be 50 MiB, three folds 150
