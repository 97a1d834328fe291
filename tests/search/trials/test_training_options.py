"""A search with recipe options: the learning rate found and the health of each trial are in the database."""

import json
import random
import re

import pytest

from archsieve.models.data.registry import load_data
from archsieve.models.networks.build import build_for
from archsieve.models.training.lr_finder import find_lr
from archsieve.results.analysis.health import findings_of
from archsieve.results.database.records import TrialState
from archsieve.results.database.store import open_store
from archsieve.results.database.training_records import augmentation_cost, lrs_found
from archsieve.search.experiment.template import search_file_text
from archsieve.search.runs.session import search
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import LocalContrast
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.sampling import sample
from archsieve.spaces.recipes.recipe import Recipe

from ..conftest import small

LIMIT = 150  # images
STAGES = [{"block": ["conv-pool", "residual"], "width": [8, 16]}]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def outcome(runs, ray_running):
    recipe = {
        "epochs": 2,
        "lr": "auto",
        "batch_size": 32,
        "elastic_alpha_px": [0.0, 4.0],
        "elastic_sigma_px": [2.0, 3.0],
    }
    space = {"stem": 8, "contrast": [False, True], "stages": STAGES}
    experiment = small(data={"limit": LIMIT}, recipe=recipe, space=space, search={"trials": 3})
    return search(experiment, name="auto", runs=runs)


def test_the_learning_rate_found_is_recorded_with_every_try(outcome):
    data = load_data("digits", limit=LIMIT)
    with open_store(outcome.database, read_only=True) as store:
        for trial in outcome.trials:
            assert trial.state is TrialState.COMPLETED
            (recorded,) = lrs_found(store, "auto", trial.trial)
            recipe = Recipe.from_json(trial.recipe)
            network = build_for(Architecture.from_json(trial.architecture), recipe, seed=trial.seed)
            expected = find_lr(network, data, recipe, start_lr=1.0, seed=trial.seed)
            assert [recorded["lr"], len(recorded["tries"])] == [expected.lr, len(expected.tries)]
            assert store.curve(trial.trial)["lr"][-1][1] == pytest.approx(recorded["lr"] * recipe.lr_end)


def test_the_cost_of_augmentation_is_recorded_and_shown(outcome, line):
    with open_store(outcome.database, read_only=True) as store:
        costs = {t.trial: augmentation_cost(store, "auto", t.trial) for t in outcome.trials}
    augmented = {t.trial for t in outcome.trials if t.recipe["elastic_alpha_px"]}
    assert 0 < len(augmented) < len(outcome.trials)
    assert {trial for trial, cost in costs.items() if cost is not None} == augmented
    for trial, cost in costs.items():
        code, out, _ = line("results", "show", str(trial), "--db", str(outcome.database))
        assert code == 0
        assert ("ms a batch of 32 on cpu" in out) == (cost is not None)


def test_findings_and_rate_are_shown(outcome, runs, line):
    with open_store(outcome.database, read_only=True) as store:
        health = findings_of(store, "auto")
    trial = outcome.trials[0].trial
    database = ("--db", str(outcome.database))
    code, out, err = line("results", "show", str(trial), *database)
    assert (code, err) == (0, "")
    assert "lr found: " in out
    assert out.count("finding ") == len(health.get(trial, []))
    shown = json.loads(line("results", "show", str(trial), *database, "--json")[1])
    assert [finding["kind"] for finding in shown["findings"]] == [finding.kind for finding in health.get(trial, [])]


def test_a_learning_rate_too_large_gives_a_finding_with_a_rate_that_trains(runs, ray_running):
    wild = small(
        recipe={"lr": 1e30, "schedule": "constant", "epochs": 1}, search={"trials": 1}, space={"stages": STAGES}
    )
    outcome = search(wild, name="wild", runs=runs)
    with open_store(outcome.database, read_only=True) as store:
        ((finding,),) = findings_of(store, "wild").values()
    facts = re.search(r"recipe\.lr = ([\d.e+-]+).* relative error of (\S+)$", finding.message)
    assert facts, finding.message
    assert 0 < float(facts[1]) <= 1
    assert float(facts[2]) < 1e-3


def test_contrast_is_allowed_only_with_stages():
    both = small(space={"contrast": [False, True], "stages": STAGES}).space
    plain = small(space={"stages": STAGES}).space
    always = small(space={"contrast": True, "stages": STAGES}).space
    assert ConstrainedSpace(both).size == 2 * ConstrainedSpace(plain).size == 2 * ConstrainedSpace(always).size
    drawn = sample(ConstrainedSpace(always), 3, random.Random(0))
    assert all(architecture.blocks[0] == LocalContrast() for architecture in drawn)
    with pytest.raises(ValueError, match=r"space\.contrast.*stages"):
        small(space={"name": "mixed", "contrast": True}).space  # noqa: B018 - the attribute is computed on access


def test_the_template_lists_every_key_of_a_recipe():
    text = search_file_text("digits")
    for key in Recipe().to_json():
        assert f"\n{key} = " in text or f"\n# {key} = " in text
