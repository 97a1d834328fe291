"""The trial cache with own modules: a result is reused only if their code is the same."""

from dataclasses import dataclass

import pytest
from torch import nn

import archsieve as av
from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store
from archsieve.search.trials.trial_cache import TrialCache

from ..conftest import small


@dataclass(frozen=True)
class Scale(av.ModuleBlock):
    """A 1x1 convolution, as a module of a user."""

    kind = "test-scale"

    def module(self, in_shape):
        return nn.Conv2d(in_shape[0], in_shape[0], 1)


def settings(plugins):
    return {**small().to_json(), **({"plugins": {"modules": [], "recorded": plugins}} if plugins else {})}


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
    data = {"content_hash": "d", "name": "digits"}
    with open_store(tmp_path / "archsieve.db", create=True) as store:
        first = store.create_run("first", settings(earlier), "random", 0, data, {})
        for one in (architecture, plain):
            trial = store.propose(
                first,
                architecture=one.to_json(),
                fingerprint=one.fingerprint,
                cost=av.cost(one).to_json(),
                layers=[],
                choices={},
                recipe=av.Recipe().to_json(),
                seed=0,
            ).trial
            store.start(trial)
            store.finish(trial, TrialState.COMPLETED, summary={"val_accuracy": 0.5})
        run_id = store.create_run("second", settings(now), "random", 0, data, {})
        cache = TrialCache(store, store.run(run_id))
        found = cache.find(av.Proposal(architecture, av.Recipe(), {}))
        assert (None if found is None else found.number) == (0 if hit else None)
        assert cache.find(av.Proposal(plain, av.Recipe(), {})).number == 1
