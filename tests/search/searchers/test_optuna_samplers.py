"""Samplers of Optuna and OptunaHub as searchers; the conformance suite tests one of them, too."""

import math
import random
from functools import partial

import pytest

from archsieve.results.database.records import History
from archsieve.search.searchers import optuna_samplers
from archsieve.search.searchers.optuna_samplers import sampler_searcher
from archsieve.search.searchers.registry import make_searcher
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.parameters.domains import Range
from archsieve.spaces.recipes.recipe import RecipeSpace

from ..conftest import small
from .test_searchers import BUDGET, RECIPES, SPACE, keys, run, trial_of

CONSTRAINED = ConstrainedSpace(SPACE, BUDGET)
RANGES = RecipeSpace.of(epochs=2, lr=Range(0.001, 1.0, log=True), dropout=Range(0.0, 0.5))


def distance(recipe):
    """Return how far a recipe is from the best one, in units of the ranges."""
    return abs(math.log10(recipe.lr) + 1) / 3 + abs(recipe.dropout - 0.1) / 0.5


def mean_distance(name, seed):
    searcher, history = make_searcher(name, CONSTRAINED, RANGES), History()
    distances = []
    for number in range(34):
        proposal = searcher.ask(history, random.Random(f"{seed}/{number}"))
        distances.append(distance(proposal.recipe))
        history = History((*history.trials, trial_of(proposal, number, accuracy=max(0.0, 1 - distances[-1]))))
    return sum(distances[-12:]) / 12


def test_cma_es_learns_from_the_history():
    """Its state, in attributes of trials, survives that the study is another one at each proposal."""
    pytest.importorskip("cmaes")
    learned, drawn = (sum(mean_distance(name, seed) for seed in range(2)) for name in ("optuna:CmaEsSampler", "random"))
    assert learned < 0.7 * drawn


@pytest.mark.parametrize("name", ["optuna:NSGAIISampler", "optuna:QMCSampler"])
def test_other_samplers_propose_inside_the_budget_and_repeat_nothing(name):
    history = run(sampler_searcher(name, CONSTRAINED, RECIPES), 20)
    assert all(trial.params <= 6000 for trial in history)
    assert len(set(keys(history))) == 20
    resumed = run(sampler_searcher(name, CONSTRAINED, RECIPES), 20, history=History(history.trials[:14]))
    assert keys(resumed) == keys(history)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("optuna:CmaEsSampler2", {}, r"unknown sampler of Optuna 'CmaEsSampler2'; did you mean 'CmaEsSampler'"),
        ("optuna:BaseSampler", {}, r"unknown sampler of Optuna 'BaseSampler'"),
        ("optuna:GridSampler", {}, r"search\.searcher .*'optuna:GridSampler'; use searcher = \"grid\""),
        ("optuna:TPESampler", {"multivarate": True}, r"search\.sampler: .*'multivarate'; did you mean 'multivariate'"),
        ("optuna:TPESampler", {"seed": 1}, r"search\.sampler: unknown option .*'seed'"),
        ("optuna:TPESampler", {"constraints_func": "f"}, r"search\.sampler: unknown option .*'constraints_func'"),
        ("optuna:NSGAIISampler", {"population_size": 1}, r"search\.sampler .*'population_size': 1.*greater than"),
        ("tpe", {"multivariate": True}, r"search\.sampler needs a sampler .*the searcher is 'tpe'; leave sampler out"),
        ("optuna:TPESampler", {"objectives": ["val_accuracy", "macs"]}, r"search\.objectives .*optuna:TPESampler"),
    ],
)
def test_samplers_and_options_that_do_not_exist_are_refused(name, options, message):
    objectives = options.pop("objectives", None)
    with pytest.raises(ValueError, match=message):
        small(search={"searcher": name, "sampler": options or None, "objectives": objectives})


def test_a_sampler_that_fails_during_the_search_is_named():
    searcher = sampler_searcher("optuna:CmaEsSampler", CONSTRAINED, RANGES, {"x0": {"lr": 0.1}})
    with pytest.raises(ValueError, match=r"optuna:CmaEsSampler .* raised AssertionError: .*search\.sampler"):
        run(searcher, 16)


def test_a_sampler_whose_package_is_missing_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(optuna_samplers._PACKAGES, "QMCSampler", "a_package_that_nobody_has")
    with pytest.raises(ValueError, match=r"a_package_that_nobody_has.*pip install 'archsieve\[samplers\]'"):
        sampler_searcher("optuna:QMCSampler", CONSTRAINED, RECIPES)


def test_a_search_file_has_the_sampler_and_its_options():
    experiment = small(search={"searcher": "optuna:NSGAIISampler", "sampler": {"population_size": 8}})
    assert experiment.to_json()["search"]["sampler"] == {"population_size": 8}
    assert "sampler" not in small().to_json()["search"]  # as in runs of older versions
    sampler = experiment.searcher(CONSTRAINED)._study._make(0)
    assert sampler.population_size == 8


HUB_SAMPLER = """
import optuna

class Largest(optuna.samplers.RandomSampler):
    def sample_independent(self, study, trial, name, distribution):
        return getattr(distribution, "high", None) or super().sample_independent(study, trial, name, distribution)
"""


def test_a_package_of_optunahub_is_read_from_a_folder(tmp_path):
    pytest.importorskip("optunahub")
    package = tmp_path / "samplers" / "largest"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(HUB_SAMPLER)
    build = partial(sampler_searcher, "optunahub:samplers/largest", CONSTRAINED, RANGES)
    recipes = [trial.recipe["dropout"] for trial in run(build({"registry": str(tmp_path)}), 13)]
    assert recipes[10:] == [0.5, 0.5, 0.5]
    with pytest.raises(ValueError, match=r"registry = \"FOLDER\""):
        build()
    with pytest.raises(ValueError, match=r"samplers/other/__init__\.py, but .* with samplers/largest"):
        sampler_searcher("optunahub:samplers/other", CONSTRAINED, RANGES, {"registry": str(tmp_path)})
    for outside in ("../largest", str(package), "samplers/../samplers/largest"):
        with pytest.raises(ValueError, match=r"must name a package of OptunaHub by its folders"):
            sampler_searcher(f"optunahub:{outside}", CONSTRAINED, RANGES, {"registry": str(tmp_path / "samplers")})
