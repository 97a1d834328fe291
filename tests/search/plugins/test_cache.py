"""The trial cache with own modules and files: a result is reused only if their content is the same."""

from dataclasses import dataclass
from hashlib import sha256

import pytest
from torch import nn

import archsieve as av
from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store
from archsieve.results.database.training_records import WEIGHTS_LOADED
from archsieve.search.trials.trial_cache import TrialCache

from ..conftest import small

DATA = {"content_hash": "d", "name": "digits"}


@dataclass(frozen=True)
class Scale(av.ModuleBlock):
    """A 1x1 convolution, as a module of a user."""

    kind = "test-scale"

    def module(self, in_shape):
        return nn.Conv2d(in_shape[0], in_shape[0], 1)


def settings(plugins):
    return {**small().to_json(), **({"plugins": {"modules": [], "recorded": plugins}} if plugins else {})}


def completed(store, run_id, architecture, recipe):
    """Return the id of a completed trial that is written to the store."""
    trial = store.propose(
        run_id,
        architecture=architecture.to_json(),
        fingerprint=architecture.fingerprint,
        cost=av.cost(architecture).to_json(),
        layers=[],
        choices={},
        recipe=recipe.to_json(),
        seed=0,
    ).trial
    store.start(trial)
    store.finish(trial, TrialState.COMPLETED, summary={"val_accuracy": 0.5})
    return trial


@pytest.mark.parametrize(
    ("earlier", "now", "hit"),
    [
        ({"mine": {"sha256": "1"}}, {"mine": {"sha256": "1"}}, True),
        ({"mine": {"sha256": "1"}}, {"mine": {"sha256": "2"}}, False),
        ({}, {"mine": {"sha256": "1"}}, False),
        ({}, {}, False),
    ],
)
def test_a_result_of_an_own_module_is_reused_only_with_the_same_code(earlier, now, hit, tmp_path):
    architecture = av.Architecture((1, 8, 8), (av.Conv(8), Scale(), av.GlobalAverage()), 10)
    plain = av.Architecture((1, 8, 8), (av.Conv(8), av.GlobalAverage()), 10)
    with open_store(tmp_path / "archsieve.db", create=True) as store:
        first = store.create_run("first", settings(earlier), "random", 0, DATA, {})
        for one in (architecture, plain):
            completed(store, first, one, av.Recipe())
        run_id = store.create_run("second", settings(now), "random", 0, DATA, {})
        cache = TrialCache(store, store.run(run_id))
        found = cache.find(av.Proposal(architecture, av.Recipe(), {}))
        assert (None if found is None else found.number) == (0 if hit else None)
        assert cache.find(av.Proposal(plain, av.Recipe(), {})).number == 1


def test_a_result_is_reused_only_with_the_same_weights_and_without_a_teacher_in_a_file(tmp_path):
    file, name = tmp_path / "test_resnet.safetensors", "timm:test_resnet"
    file.write_bytes(b"first")
    recipe = {"epochs": 1, "lr": 0.1}
    experiment = small(
        space={"networks": [name], "weights": str(tmp_path)}, budget={"params": "1M", "macs": "1G"}, recipe=recipe
    )
    architecture = experiment.space.architecture({})
    plain, distilled = av.Recipe(), av.Recipe(teacher=str(tmp_path / "teacher.safetensors"))
    with open_store(tmp_path / "archsieve.db", create=True) as store:
        first = store.create_run("first", experiment.to_json(), "random", 0, DATA, {})
        trial = completed(store, first, architecture, plain)
        store.add_event(first, "info", WEIGHTS_LOADED, {"sha256": sha256(b"first").hexdigest()}, trial)
        completed(store, first, architecture, distilled)
        store.create_run("second", experiment.to_json(), "random", 0, DATA, {})
        cache = TrialCache(store, store.run("second"))
        assert cache.find(av.Proposal(architecture, plain, {})).trial == trial
        assert cache.find(av.Proposal(architecture, distilled, {})) is None
        file.write_bytes(b"second")
        assert cache.find(av.Proposal(architecture, plain, {})) is None
