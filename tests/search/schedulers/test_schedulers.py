"""Schedulers: Tune's rules stop weak trials, a resume remembers their marks, the searcher learns from the stopped."""

import json
import random
from dataclasses import dataclass, replace

import pytest
from ray import tune

from archsieve.results.database.records import FailKind, History, TrialState
from archsieve.results.database.store import open_store
from archsieve.search.config.schema import SearchSection
from archsieve.search.runs.tuner import run_trials
from archsieve.search.schedulers.settings import Earlier, brackets_that_fit, earlier_trials, shares
from archsieve.search.schedulers.tune_rules import Halving, Median
from archsieve.search.searchers.registry import SEARCHERS
from archsieve.search.trials.report import EpochMetrics, Failure, TrialReport

from ..conftest import begun, small

EPOCHS = 9


class Recalled(tune.Trainable):
    """A trial whose curve is known beforehand: the higher its learning rate, the better, at every epoch."""

    def setup(self, config, data, conditions):
        self.reset_config(config)

    def reset_config(self, new_config):
        self.epoch, self.lr = 0, json.loads(new_config["trial"])["recipe"]["lr"]
        return True

    def step(self):
        self.epoch += 1
        accuracy = self.lr * self.epoch / EPOCHS
        figures = {"train_loss": 1.0, "train_accuracy": accuracy, "val_loss": 1 - accuracy, "val_accuracy": accuracy}
        return TrialReport((EpochMetrics(self.epoch, figures),), done=self.epoch == EPOCHS).to_tune()


def driven(folder, *totals, **search):
    """The trials of a run on one core whose driver is replaced whenever a total of ``totals`` has ended."""
    with open_store(folder / "archsieve.db", create=True) as store:
        for total in totals:
            settings = {"seed": 4, "trials": total, "searcher": "random", **search}
            found = small(
                search=settings,
                recipe={"epochs": EPOCHS, "lr": {"low": 0.1, "high": 1.0}},
                resources={"max_concurrent": 1},
            )
            if total == totals[0]:
                run_id = begun(store, found)
            else:
                store.resume_run(run_id, {}, found.to_json())
            run_trials(found, None, store, run_id, folder, trainable=Recalled)
        return store.history(run_id).trials, earlier_trials(store, run_id)


@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "median"])
def test_weak_trials_are_stopped(ray_running, tmp_path, scheduler):
    trials, curves = driven(tmp_path, 16, scheduler=scheduler)
    stopped = [trial for trial in trials if trial.state is TrialState.STOPPED_EARLY]
    finished = [trial for trial in trials if trial.state is TrialState.COMPLETED]
    assert len(stopped) >= 2
    assert len(stopped) + len(finished) == 16
    assert all(trial.epochs_done == EPOCHS for trial in finished)
    for trial in stopped:  # with what it had reached, and never at the cost of a better one
        assert 1 <= trial.epochs_done < EPOCHS
        assert trial.val_accuracy == pytest.approx(trial.recipe["lr"] * trial.epochs_done / EPOCHS)
        assert any(other.recipe["lr"] > trial.recipe["lr"] for other in trials[: trial.number])
    assert [len(trial.curve) for trial in curves] == [trial.epochs_done for trial in trials]
    if scheduler == "hyperband":
        broken, _ = driven(tmp_path / "broken", 7, 16, scheduler=scheduler)
        assert [(t.recipe["lr"], t.state, t.epochs_done) for t in broken] == [
            (t.recipe["lr"], t.state, t.epochs_done) for t in trials
        ]


@dataclass(frozen=True)
class Told:
    """As much of Tune's trial as a rule looks at."""

    trial_id: str
    config: dict

    @classmethod
    def of(cls, number):
        return cls(f"trial {number}", {"trial": json.dumps({"number": number})})

    def __hash__(self):
        return hash(self.trial_id)


def feed(rule, number, curve):
    """Let a trial report ``curve`` until ``rule`` stops it; the epochs it had."""
    trial = Told.of(number)
    rule.on_trial_add(None, trial)
    for epoch, accuracy in curve:
        if rule.on_trial_result(None, trial, {"epoch": epoch, "val_accuracy": accuracy}) == "STOP":
            break
    rule.on_trial_complete(None, trial, {"epoch": epoch, "val_accuracy": accuracy})
    return epoch


RULES = {
    "asha": lambda earlier: Halving([1], [1], EPOCHS, 3, earlier),
    "hyperband": lambda earlier: Halving([1, 3, 9], [9, 5, 3], EPOCHS, 3, earlier),
    "median": lambda earlier: Median(1, earlier),
}


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_rule_rebuilt_from_curves_decides_as_the_one_that_lived(name):
    """Also where a trial was under way: it comes again and goes on from where it was."""
    rng = random.Random(name)
    curves = [[(epoch, rng.random()) for epoch in range(1, EPOCHS + 1)] for _ in range(60)]
    lived = RULES[name](())
    epochs = [feed(lived, number, curve) for number, curve in enumerate(curves)]
    assert len(set(epochs)) > 1
    earlier = [Earlier(n, curve[:done]) for n, (curve, done) in enumerate(zip(curves, epochs, strict=True))]
    for cut in range(0, 60, 7):
        under_way = curves[cut][: epochs[cut] - 1]
        rebuilt = RULES[name]([*earlier[:cut], Earlier(cut, under_way)])
        assert feed(rebuilt, cut, curves[cut][len(under_way) :]) == epochs[cut]
        assert [feed(rebuilt, n, curves[n]) for n in range(cut + 1, 60)] == epochs[cut + 1 :]


def test_a_trial_that_lost_its_worker_is_the_same_trial_when_it_comes_again():
    """It counts once among those that it is compared with, and goes on from its checkpoint."""
    curve = [(epoch, 0.3) for epoch in range(1, EPOCHS + 1)]
    for name in ("asha", "median"):
        rule, twin = RULES[name](()), RULES[name](())
        for each in (rule, twin):
            assert [feed(each, n, [(e, 0.1 + 0.1 * n) for e, _ in curve]) for n in range(4)] == [EPOCHS] * 4
            each.on_trial_add(None, Told.of(4))
            each.on_trial_result(None, Told.of(4), {"epoch": 1, "val_accuracy": 0.9})
        again = Told("another key", Told.of(4).config)
        rule.on_trial_error(None, Told.of(4))
        rule.on_trial_add(None, again)
        rule.on_trial_result(None, again, {"epoch": 2, "val_accuracy": 0.9})
        twin.on_trial_result(None, Told.of(4), {"epoch": 2, "val_accuracy": 0.9})
        assert [feed(rule, n, curve) for n in range(5, 9)] == [feed(twin, n, curve) for n in range(5, 9)]


def test_a_failed_trial_stays_out_of_the_rules():
    for make in RULES.values():
        rule, broken = make(()), Told.of(0)
        rule.on_trial_add(None, broken)
        failure = TrialReport(done=True, failure=Failure(FailKind.DIVERGED, "nan")).to_tune()
        assert rule.on_trial_result(None, broken, failure) == "CONTINUE"
        rule.on_trial_complete(None, broken, failure)
        done = [feed(rule, n, [(epoch, 0.5) for epoch in range(1, EPOCHS + 1)]) for n in range(1, 6)]
        assert done == [EPOCHS] * 5


def test_hyperbands_brackets_are_those_of_the_paper():
    """Table 1 of Li et al. 2018: R = 81, eta = 3."""
    assert brackets_that_fit(SearchSection(scheduler="hyperband"), 81) == 5
    assert shares(5, 3) == [81, 34, 15, 8, 5]
    rule = Halving([1, 3, 9, 27, 81], shares(5, 3), 81, 3, ())
    places = [rule.bracket(number) for number in range(2 * 143)]
    assert [places.count(bracket) for bracket in range(5)] == [2 * n for n in shares(5, 3)]
    assert places[:143] == sorted(places[:143]) == places[143:]


@pytest.mark.parametrize(
    ("search", "epochs", "said"),
    [
        (
            {"scheduler": "asha", "grace_epochs": 3},
            2,
            r"grace_epochs must be at most recipe.epochs, but got 3 and 2; lower it",
        ),
        ({"scheduler": "median", "grace_epochs": 3}, 2, r"grace_epochs must be at most recipe.epochs"),
        ({"scheduler": "hyperband", "grace_epochs": 3}, 2, r"hyperband needs two brackets"),
        ({"scheduler": "hyperband"}, 2, r"two brackets.*reduction_factor 3, recipe.epochs 2; lower reduction_factor"),
        ({"scheduler": "hyperband", "brackets": 4}, 12, r"from 2 to the 3 that fit, but got 4"),
        ({"scheduler": "hyperband", "brackets": 1}, 12, r"from 2 to the 3 that fit, but got 1"),
        ({"scheduler": "asha", "brackets": 2}, 12, r"brackets are hyperband's, but the scheduler is 'asha'"),
        ({"scheduler": "asha", "reduction_factor": 1}, 12, r"search.reduction_factor should be greater than or equal"),
    ],
)
def test_settings_that_cannot_work_are_refused(search, epochs, said):
    with pytest.raises(ValueError, match=said):
        small(search=search, recipe={"epochs": epochs})


@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_a_model_takes_a_short_trial_neither_for_a_bad_one_nor_for_a_good_one(name):
    """Stopped trials rank behind completed ones and among themselves by how far they came, failed ones last.

    Their accuracies are of epoch 1, those of the completed of epoch 9: compared as numbers, the stopped would win.
    """
    from ..searchers.test_searchers import OPEN_RECIPES, SPACE, ConstrainedSpace, trial_of

    found = SEARCHERS[name](ConstrainedSpace(SPACE), OPEN_RECIPES)
    history = History()
    for number in range(30):
        proposal = SEARCHERS["random"](ConstrainedSpace(SPACE), OPEN_RECIPES).ask(history, random.Random(number))
        weak = proposal.recipe.dropout == 0.0
        state = TrialState.STOPPED_EARLY if weak else TrialState.COMPLETED
        trial = trial_of(proposal, number, state, 0.6 if weak else 0.4)
        history = History((*history.trials, replace(trial, epochs_done=1 if weak else 9)))
    asked = [found.ask(history, random.Random(f"ask {i}")).recipe.dropout for i in range(12)]
    assert asked.count(0.1) >= 9


def test_the_score_orders_the_completed_before_the_stopped_and_the_failed_last():
    from archsieve.search.searchers.ranking import score

    from ..searchers.test_searchers import OPEN_RECIPES, SPACE, ConstrainedSpace, trial_of

    proposal = SEARCHERS["random"](ConstrainedSpace(SPACE), OPEN_RECIPES).ask(History(), random.Random(0))

    def ended(state, epochs, accuracy):
        return replace(trial_of(proposal, 0, state, accuracy), epochs_done=epochs)

    stopped, done = TrialState.STOPPED_EARLY, TrialState.COMPLETED
    best_first = [
        ended(done, 9, 0.5),
        ended(done, 9, 0.4),
        ended(stopped, 3, 0.0),
        ended(stopped, 1, 1.0),
        ended(stopped, 1, 0.9999),
        ended(stopped, 1, 0.0),
        ended(TrialState.FAILED, 8, 0.9),
    ]
    scores = [score(trial) for trial in best_first]
    assert scores == sorted(set(scores), reverse=True)
