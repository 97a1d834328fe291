"""Two ranks on CPUs train the same network as one process, and what one rank suffers reaches the other."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from archsieve.models.data.registry import ImageData, load_data
from archsieve.models.ranks.errors import RankLostError, RankStartError
from archsieve.models.ranks.pool import RankPool
from archsieve.models.ranks.ranks import Ranks
from archsieve.models.ranks.shared_objects import share, shared
from archsieve.models.training.epoch import Diverged
from archsieve.models.training.trainer import Fit
from archsieve.spaces.recipes.recipe import Recipe

sys.path.insert(0, str(Path(__file__).parent))  # the other rank imports its factory
from trained_ranks import TrainedRank, network

# the last batch would have two images, which are too few for two ranks: it is added to the one before it
RECIPE = Recipe(epochs=3, batch_size=22, lr=0.02, augmentation="none", clip_grad_norm=1.0)


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load_data("digits", limit=200)


@pytest.fixture(scope="module")
def pools(data: ImageData) -> Iterator[Callable[[], RankPool]]:
    """Return a function that gives an open pool of two ranks, which only a test of a lost rank replaces."""
    opened: list[RankPool] = []

    def pool() -> RankPool:
        if not opened or not opened[-1].is_open:
            opened.append(RankPool(2, TrainedRank, data=data))
        return opened[-1]

    torch.set_num_threads(1)
    yield pool
    for one in opened:
        one.close()


def started(pool: RankPool, data: ImageData, recipe: Recipe = RECIPE, sync: bool = False) -> Fit:
    def make() -> Fit:
        return Fit(network(), data, recipe, seed=3, keep_best=True, ranks=Ranks(0, 2, sync))

    return pool.call("start", recipe, sync, here=make)


def steps(pool: RankPool, fit: Fit, count: int) -> None:
    for _ in range(count):
        pool.call("step", here=fit.step, kept=(Diverged,))


def far(first: nn.Module, second: nn.Module) -> float:
    """The largest difference of two networks, relative to the largest value of each tensor."""
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-9)) for a, b in pairs)


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE,
        replace(RECIPE, optimizer="adamw", lr=0.005, averaging="ema", ema_decay=0.9, class_weights="balanced"),
        replace(RECIPE, sampling="balanced", l1=1e-4, activation_l1=1e-3, label_smoothing=0.1),
    ],
    ids=["sgd", "adamw-ema", "balanced-penalties"],
)
def test_two_ranks_with_synchronised_batch_norm_train_as_one_process(
    pools: Callable[[], RankPool], data: ImageData, recipe: Recipe
) -> None:
    pool = pools()
    two = started(pool, data, recipe, sync=True)
    steps(pool, two, recipe.epochs)
    one = Fit(network(), data, recipe, seed=3)
    one._sizes = two._sizes  # the same last batch
    for expected in two.history:
        result = one.step()
        assert expected.train_loss == pytest.approx(result.train_loss, rel=2e-3)
        assert expected.val_loss == pytest.approx(result.val_loss, rel=2e-3)
        assert abs(expected.val_accuracy - result.val_accuracy) <= 1 / len(data.val)
    # Adam divides by the size of the gradients, and so makes rounding errors of small ones as large as a step.
    tolerance = 0.01 if recipe.optimizer == "sgd" else 0.2
    assert far(two.module, one.module) < tolerance
    assert far(two.validated_network, one.validated_network) < tolerance
    assert min(two._sizes) >= 4


def test_without_synchronised_batch_norm_the_loss_is_near_and_a_resume_takes_another_number_of_ranks(
    pools: Callable[[], RankPool], data: ImageData
) -> None:
    pool = pools()
    two, one = started(pool, data), Fit(network(), data, RECIPE, seed=3)
    steps(pool, two, 2)
    state = two.state_dict()
    steps(pool, two, 1)
    for expected in two.history:
        assert one.step().train_loss == pytest.approx(expected.train_loss, rel=0.3)
    again = started(pool, data)  # on as many ranks: bit-identical
    pool.call("load", state, here=lambda: again.load_state_dict(state))
    steps(pool, again, 1)
    assert again.history == two.history
    assert far(again.module, two.module) == 0
    alone = Fit(network(), data, RECIPE, seed=3)
    alone.load_state_dict(state)
    assert alone.step().val_loss == pytest.approx(two.history[-1].val_loss, rel=0.5)
    assert alone.history[:2] == two.history[:2]


def test_validation_counts_each_image_once(pools: Callable[[], RankPool], data: ImageData) -> None:
    from archsieve.models.training.evaluate import evaluate

    pool = pools()
    odd = replace(data, val=data.val.subset(torch.arange(31)))  # 16 images on one rank and 15 on the other
    two = pool.call("start", RECIPE, False, odd, here=lambda: Fit(network(), odd, RECIPE, seed=3, ranks=pool.ranks))
    steps(pool, two, 1)
    whole = evaluate(two.module, odd.val, odd)
    assert two.history[0].val_accuracy == whole.accuracy
    assert two.history[0].val_loss == pytest.approx(whole.loss, rel=1e-5)


def test_augmentation_and_dropout_draw_other_numbers_on_each_rank(
    pools: Callable[[], RankPool], data: ImageData
) -> None:
    pool, recipe = pools(), replace(RECIPE, augmentation="standard", dropout=0.1)
    runs = []
    for _ in range(2):
        fit = started(pool, data, recipe)
        steps(pool, fit, 2)
        runs.append(fit)
    assert runs[0].history == runs[1].history  # the same seed gives the same numbers
    assert all(torch.isfinite(value).all() for value in runs[0].module.state_dict().values())


def test_all_ranks_diverge_together_and_the_pool_stays_open(pools: Callable[[], RankPool], data: ImageData) -> None:
    pool = pools()
    pids = pool.pids
    fit = started(pool, data, replace(RECIPE, lr=1e30, clip_grad_norm=0.0))
    with pytest.raises(Diverged, match="epoch 1"):
        steps(pool, fit, 3)
    steps(pool, started(pool, data), 1)
    assert pool.pids == pids


@pytest.mark.parametrize(
    ("recipe", "message"),
    [({"batch_size": 3}, "two images for each of the 2 ranks.*has 3"), ({}, "same content_hash.*on rank 0.*on rank 1")],
)
def test_what_ranks_cannot_train_is_refused_on_all(
    pools: Callable[[], RankPool], data: ImageData, recipe: dict[str, Any], message: str
) -> None:
    pool, recipe = pools(), replace(RECIPE, **recipe)
    other = None if recipe != RECIPE else replace(data, content_hash="f" * 64)
    with pytest.raises(ValueError, match=message):
        pool.call(
            "start",
            recipe,
            False,
            other,
            here=lambda: Fit(network(), data, recipe, seed=3, ranks=pool.ranks),
            kept=(ValueError,),
        )
    assert pool.is_open


@pytest.mark.parametrize(
    ("method", "error", "message"),
    [
        ("die", RankLostError, "rank 1 of 2, process [0-9]+, ended with signal 9"),
        ("run_out_of_memory", torch.OutOfMemoryError, "rank 1 has no memory left"),
    ],
)
def test_a_rank_that_fails_ends_the_wait_of_the_others(
    pools: Callable[[], RankPool], method: str, error: type[Exception], message: str
) -> None:
    pool = pools()
    with pytest.raises(error, match=message):
        pool.call(method, here=lambda: pool.ranks.sum(torch.ones(1)))
    assert not pool.is_open
    assert not any(is_running(pid) for pid in pool.pids)
    with pools() as fresh:  # an error of this process alone ends the others, which wait for it
        with pytest.raises(ZeroDivisionError):
            fresh.call("meet", here=lambda: 1 / 0)
        assert not any(is_running(pid) for pid in fresh.pids)


def test_a_rank_that_cannot_start_gives_its_reason() -> None:
    with pytest.raises((RankStartError, RuntimeError), match=r"CUDA|cuda|NVIDIA") as raised:
        RankPool(2, TrainedRank, gpu=True)
    assert not isinstance(raised.value, RankLostError)


PARENT = """
import os, sys
sys.path.insert(0, sys.argv[1])
from archsieve.models.ranks.pool import RankPool
from trained_ranks import TrainedRank
pool = RankPool(2, TrainedRank)
print(*pool.pids, flush=True)
if sys.argv[2] == "training":
    pool.call("meet", here=sys.stdin.read)  # the other rank waits in an exchange
sys.stdin.read()
"""


@pytest.mark.parametrize("state", ["idle", "training"])
def test_no_rank_outlives_a_killed_process(state: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(Path(__file__).parent), state],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    try:
        assert pids
        assert all(map(is_running, pids))
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.communicate()
    deadline = time.monotonic() + 20
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, pids))


def is_running(pid: int) -> bool:
    """Whether a process exists that has not ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_shared_data_are_mapped_and_not_copied(data: ImageData) -> None:
    file = share(data)
    try:
        first, second = shared(file), shared(file)
    finally:
        os.close(file)
    assert first.content_hash == data.content_hash
    assert torch.equal(second.train.images[:], data.train.images[:])
    with Path("/proc/self/maps").open(encoding="ascii") as stream:
        ranges = [line.split()[0].split("-") for line in stream if "memfd:archsieve" in line]
    for images in (first.train.images, second.train.images):  # each lies in a mapping of the file
        assert any(int(low, 16) <= images.data_ptr() < int(high, 16) for low, high in ranges)
