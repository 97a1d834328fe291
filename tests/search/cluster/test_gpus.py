"""GPUs: shares by predicted memory, errors without a GPU, and no trial larger than one that ran out of memory."""

import itertools
import json
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ray import tune

from archsieve.models.data.registry import load_data
from archsieve.models.networks.build import build
from archsieve.models.training.trainer import Fit
from archsieve.results.database.records import FailKind, History, TrialState
from archsieve.results.database.store import open_store
from archsieve.search.cluster.errors import ResourceError
from archsieve.search.cluster.gpu_sharing import CONTEXT_BYTES, MIN_SHARE, SAFETY, Shares, copies, memory_fraction
from archsieve.search.runs.preparation import limit_to_gpus
from archsieve.search.runs.session import search
from archsieve.search.runs.tuner import run_trials
from archsieve.search.searchers.registry import SEARCHERS
from archsieve.search.searchers.search_plan import SearchPlan, limit_memory, oom_bytes
from archsieve.search.trials.report import EpochMetrics, Failure, TrialReport
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.catalogue import named
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.constrained.feasibility import cheapest
from archsieve.spaces.constrained.indexing import walk
from archsieve.spaces.recipes.recipe import RecipeSpace

from ..conftest import create_empty_run, small
from ..searchers.test_searchers import BUDGET, RECIPES, SPACE, ConstrainedSpace, run, trial_of

GB = 10**9
TINY = "[data]\nlimit = 100\n[search]\ntrials = 1\n[recipe]\nepochs = 1\n"


@given(
    st.integers(2 * GB, 200 * GB), st.integers(0, GB // 4), st.integers(1, 4096), st.integers(1, 10), st.integers(0, 2)
)
def test_a_share_is_the_smallest_that_fits(gpu, image_bytes, batch, folds, extra):
    shares, network = Shares(gpu, image_bytes, folds, extra), named("resnet20-cifar")
    share = shares.share(network, batch)
    network_cost = cost(network, batch)
    states = (folds - 1) * 12 + folds * 4 * extra
    needed = CONTEXT_BYTES + image_bytes + SAFETY * (network_cost.memory_bytes + states * network_cost.params)
    assert share in [2.0**-power for power in range(7)]
    assert needed <= share * gpu or share == 1
    assert needed > share / 2 * gpu or share == MIN_SHARE
    if folds == 1 and abs(needed - gpu) > 2 and not extra:
        assert (network_cost.memory_bytes <= shares.max_memory_bytes) == (needed < gpu)
    if folds == 1 and network_cost.memory_bytes <= shares.max_memory_bytes:
        assert needed <= gpu  # every network that may be proposed fits on a whole GPU
    assert 0 < memory_fraction(share, gpu) < share


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ({}, 0),
        ({"optimizer": "adam"}, 1),
        ({"averaging": "ema"}, 1),
        ({"optimizer": ["sgd", "adamw"], "averaging": ["none", "swa"]}, 2),
    ],
)
def test_copies_match_the_state_of_optimizers_and_averages(recipe, expected):
    """Compare the maximum over the space's recipes with the state that a fit has in memory."""
    recipes = RecipeSpace.of(epochs=1, batch_size=64, momentum=0.9, **recipe)
    assert copies(recipes) == expected
    worst = recipes.fill({name: choice.options[-1] for name, choice in recipes.free_parameters.items()})
    network = build(named("plain20-cifar", input_shape=(1, 8, 8)), seed=0)
    fit = Fit(network, load_data("digits", limit=200), worst, seed=0)
    fit.step()
    state = fit.state_dict()
    names = {name for name, _ in fit.module.named_parameters()}
    params = sum(weights.numel() for weights in fit.module.parameters())
    stored = sum(t.numel() for one in state["optimizer"]["state"].values() for t in one.values() if t.ndim)
    averaged = state.get("averaging", {})
    stored += sum(t.numel() for name, t in averaged.items() if name.removeprefix("module.") in names)
    assert stored == (1 + expected) * params


def test_each_trial_asks_for_its_own_share():
    shares = Shares(24 * GB, GB // 10)
    requests = []
    for name, batch in (("resnet20-cifar", 128), ("resnet110-cifar", 128), ("resnet110-cifar", 1024)):
        trial = {"architecture": named(name).to_json(), "recipe": {"batch_size": batch}}
        requests.append(shares.resources(2)({"trial": json.dumps(trial)}).required_resources)
    assert [resources["CPU"] for resources in requests] == [2, 2, 2]
    assert [resources["GPU"] for resources in requests] == sorted(resources["GPU"] for resources in requests)
    assert len({resources["GPU"] for resources in requests}) == 3


def test_a_missing_gpu_is_refused_with_the_available_resources(line, ray_running, tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    code, out, err = line("search", "tiny.toml", "-s", 'resources.gpus_per_trial="auto"')
    assert (code, out) == (4, "")
    assert re.search(r"gpus_per_trial.* 0 GPUs: Ray has .* CPUs and 0 GPUs on 1 node", err), err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_hidden_gpu_is_not_counted(command, tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    code, out, err = command("search", "tiny.toml", "-s", "resources.gpus_per_trial=1", CUDA_VISIBLE_DEVICES="")
    assert (code, out) == (4, "")
    assert re.search(r"gpus_per_trial.* 1 GPUs.* 0 GPUs: Ray has", err), err


CLAIMED = """
import ray, sys
from archsieve.search.experiment.experiment import experiment
from archsieve.search.experiment.search_file import parse
from archsieve.search.runs.session import search

ray.init("local", num_cpus=1, num_gpus=1, include_dashboard=False, log_to_driver=False)
claiming = experiment(parse({"data": {"limit": 100}, "resources": {"gpus_per_trial": 0.5}}))
try:
    search(claiming, name="claimed", runs=sys.argv[1])
except RuntimeError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_torch_cannot_use_is_refused(tmp_path):
    """The search must not train on a CPU when the settings ask for a GPU."""
    process = subprocess.run([sys.executable, "-c", CLAIMED, str(tmp_path)], capture_output=True, text=True, check=True)
    assert re.search(r"torch cannot use.*driver.*resources.gpus_per_trial", process.stdout), process.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_the_benchmark_needs_a_gpu():
    benchmark = Path(__file__).parents[3] / "benchmarks" / "gpu.py"
    process = subprocess.run([sys.executable, str(benchmark)], capture_output=True, text=True)
    assert (process.returncode, process.stdout) == (4, "")
    assert "--smoke" in process.stderr


def test_networks_too_large_for_a_gpu_are_not_proposed():
    constrained = ConstrainedSpace(SPACE, BUDGET, 512)
    sizes = sorted(cost(one, 512).memory_bytes for _, one in walk(constrained))
    shares = Shares(CONTEXT_BYTES + int(SAFETY * (sizes[len(sizes) // 2] + 1)), 0)
    limited = limit_to_gpus(constrained, shares)
    assert [one for _, one in walk(limited)] == [
        one for _, one in walk(constrained) if cost(one, 512).memory_bytes <= shares.max_memory_bytes
    ]
    with pytest.raises(ResourceError, match=r"1\.07GB.*recipe\.batch_size"):
        limit_to_gpus(constrained, Shares(CONTEXT_BYTES, 0))
    assert limit_to_gpus(constrained, None) is constrained


@pytest.mark.parametrize("name", sorted(SEARCHERS))
def test_after_an_oom_trial_every_searcher_stays_below_it(name):
    def searcher():
        return SearchPlan(
            lambda constrained: SEARCHERS[name](constrained, RECIPES), ConstrainedSpace(SPACE, BUDGET), RECIPES
        )

    trials_before = run(searcher(), 6)
    oom_trial = sorted(trials_before, key=lambda trial: trial.memory_bytes)[3]
    trials = [
        replace(t, state=TrialState.FAILED, fail_kind=FailKind.OOM, val_accuracy=None) if t is oom_trial else t
        for t in trials_before
    ]
    history = run(searcher(), 14, history=History(tuple(trials)))
    assert oom_bytes(history) == oom_trial.memory_bytes
    assert len(history) > 6
    assert all(trial.memory_bytes < oom_trial.memory_bytes for trial in history.trials[6:])
    repeated = run(searcher(), 14, history=History(history.trials[:9]))
    assert [t.fingerprint for t in repeated] == [t.fingerprint for t in history]


def test_nothing_is_proposed_after_the_smallest_network_ran_out_of_memory():
    constrained = ConstrainedSpace(SPACE, BUDGET)
    searcher = SearchPlan(lambda constrained: SEARCHERS["random"](constrained, RECIPES), constrained, RECIPES)
    smallest, _ = cheapest(constrained, "memory_bytes")
    failed = trial_of(searcher.propose(smallest, RECIPES.fill({"lr": 0.1})), 0, TrialState.FAILED)
    assert searcher.ask(History((replace(failed, fail_kind=FailKind.DIVERGED),)), random.Random(0)) is not None
    assert searcher.ask(History((replace(failed, fail_kind=FailKind.OOM),)), random.Random(0)) is None


def test_a_memory_limit_only_tightens_the_budget():
    tight = replace(BUDGET, memory_bytes=30_000_000, min_memory_bytes=1000)
    assert limit_memory(ConstrainedSpace(SPACE, tight), 40_000_000).budget.memory_bytes == 30_000_000
    with pytest.raises(ValueError, match=r"memory_bytes .*500.* 1,000"):
        limit_memory(ConstrainedSpace(SPACE, tight), 500)


class SmallMemory(tune.Trainable):
    """A trainable that runs out of memory for networks above a size."""

    def setup(self, config, data, conditions):
        self.reset_config(config)

    def reset_config(self, new_config):
        network = Architecture.from_json(json.loads(new_config["trial"])["architecture"])
        self.fits = cost(network, 64).memory_bytes < 2_500_000
        return True

    def step(self):
        if not self.fits:
            failure = Failure(FailKind.OOM, "OutOfMemoryError: CUDA out of memory")
            return TrialReport(done=True, failure=failure).to_tune()
        metrics = dict.fromkeys(("train_loss", "train_accuracy", "val_loss", "val_accuracy"), 0.5)
        return TrialReport((EpochMetrics(1, metrics),), done=True).to_tune()


def test_a_search_learns_how_much_memory_there_is(ray_running, tmp_path):
    experiment = small(search={"trials": 12}, recipe={"epochs": 1})
    with open_store(tmp_path / "archsieve.db", create=True) as store:
        run_id = create_empty_run(store, experiment)
        run_trials(experiment, None, store, run_id, tmp_path, trainable=SmallMemory)
        trials = store.history(run_id).trials
    sizes = [trial.memory_bytes for trial in trials if trial.state is TrialState.FAILED]
    assert len(sizes) >= 1
    assert all(later < earlier for earlier, later in itertools.pairwise(sizes))
    for trial in trials:
        earlier = [t.memory_bytes for t in trials[: trial.number] if t.fail_kind is FailKind.OOM]
        assert all(trial.memory_bytes < size for size in earlier)
    assert any(trial.state is TrialState.COMPLETED for trial in trials)


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")


@pytest.mark.gpu
@needs_gpu
def test_a_search_shares_a_gpu(ray_running, tmp_path):
    experiment = small(
        search={"trials": 4}, resources={"gpus_per_trial": "auto", "precision": "bf16", "max_concurrent": None}
    )
    outcome = search(experiment, name="shared", runs=tmp_path)
    assert [trial.state for trial in outcome.trials] == [TrialState.COMPLETED] * 4
    assert {trial.device for trial in outcome.trials} == {torch.cuda.get_device_name(0)}


@pytest.mark.gpu
@needs_gpu
def test_an_out_of_memory_trial_has_its_own_failure_kind_and_is_not_retried(ray_running, tmp_path):
    """All but 3 GiB are in use: too little for the wide network in batches of 1,024, enough for the narrow one."""
    experiment = small(
        budget={"params": "20M", "macs": "2G"},
        data={"limit": 1797},
        space={"stages": [{"block": "conv-pool", "width": [8, 8192], "kernel": 3}]},
        recipe={"batch_size": 1024, "lr": {"low": 0.01, "high": 0.1, "log": True}},
        search={"trials": 8},
        resources={"gpus_per_trial": "auto", "max_concurrent": 1},
    )
    free, _ = torch.cuda.mem_get_info()
    occupied = torch.empty(free - 3 * 2**30, dtype=torch.uint8, device="cuda")
    outcome = search(experiment, name="oom", runs=tmp_path)
    del occupied
    broken = [trial for trial in outcome.trials if trial.state is TrialState.FAILED]
    assert [trial.fail_kind for trial in broken] == [FailKind.OOM]
    others = [trial for trial in outcome.trials if trial not in broken]
    assert len(others) == 7
    assert all(trial.state is TrialState.COMPLETED for trial in others)
    assert all(trial.memory_bytes < broken[0].memory_bytes for trial in others if trial.number > broken[0].number)
