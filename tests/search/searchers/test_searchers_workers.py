"""Grid and random search propose the same trials with one or eight workers and after a resume, on a real Ray."""

import pytest

from archsieve.search.runs.session import resume, search

from ..conftest import small

pytestmark = [pytest.mark.usefixtures("ray_running"), pytest.mark.slow]
RECIPE = {"epochs": 1, "lr": [0.1, 0.2]}


@pytest.mark.parametrize("name", ["grid", "random"])
def test_proposals_do_not_depend_on_workers_or_on_a_resume(name, tmp_path):
    def experiment(trials, **resources):
        return small(recipe=RECIPE, search={"searcher": name, "trials": trials, "cache": False}, resources=resources)

    def tried(outcome):
        return [(trial.number, trial.fingerprint, trial.recipe["lr"]) for trial in outcome.trials]

    one = search(experiment(12, max_concurrent=1), name="one", runs=tmp_path)
    eight = search(experiment(12, cpus_per_trial=0.25, max_concurrent=8), name="eight", runs=tmp_path)
    search(experiment(5, max_concurrent=1), name="short", runs=tmp_path)
    resumed = resume("short", trials=12, runs=tmp_path)
    assert len(one.trials) == 12
    assert tried(one) == tried(eight) == tried(resumed)
