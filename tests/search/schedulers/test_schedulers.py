"""Schedulers: rules of Tune stop weak trials, a resume restores their state, searchers learn from stopped trials."""

import json
import random
from dataclasses import dataclass, replace

import pytest
from ray import tune

from archsieve.results.database.records import FailKind, History, TrialState
from archsieve.results.database.store import open_store
from archsieve.search.config.search_section import SearchSection
from archsieve.search.runs.tuner import run_trials
from archsieve.search.schedulers.settings import SCORE, EarlierTrial, bracket_sizes, earlier_trials, max_brackets
from archsieve.search.schedulers.tune_rules import MedianStopping, SuccessiveHalving
from archsieve.search.searchers.registry import SEARCHERS
from archsieve.search.trials.report import EpochMetrics, Failure, TrialReport

from ..conftest import create_empty_run, small

EPOCHS = 9


class LinearCurve(tune.Trainable):
    """A trial with a known curve: a higher learning rate gives a higher accuracy at every epoch."""

    def setup(self, config, data, conditions):
        self.reset_config(config)

    def reset_config(self, new_config):
        self.epoch, self.lr = 0, json.loads(new_config["trial"])["recipe"]["lr"]
        return True

    def step(self):
        self.epoch += 1
        accuracy = self.lr * self.epoch / EPOCHS
        metrics = {"train_loss": 1.0, "train_accuracy": accuracy, "val_loss": 1 - accuracy, "val_accuracy": accuracy}
        return TrialReport((EpochMetrics(self.epoch, metrics),), done=self.epoch == EPOCHS).to_tune()


def run_with_resumes(folder, *totals, **search):
    """Run trials on one core up to each of ``totals``, with a resume between them; return trials and curves."""
    with open_store(folder / "archsieve.db", create=True) as store:
        for total in totals:
            settings = {"seed": 4, "trials": total, "searcher": "random", **search}
            experiment = small(
                search=settings,
                recipe={"epochs": EPOCHS, "lr": {"low": 0.1, "high": 1.0}},
            )
            if total == totals[0]:
                run_id = create_empty_run(store, experiment)
            else:
                store.resume_run(run_id, {}, experiment.to_json())
            run_trials(experiment, None, store, run_id, folder, trainable=LinearCurve)
        return store.history(run_id).trials, earlier_trials(store, run_id)


@pytest.mark.parametrize(
    "scheduler", ["asha", *(pytest.param(name, marks=pytest.mark.slow) for name in ("hyperband", "median"))]
)
def test_weak_trials_are_stopped(ray_running, tmp_path, scheduler):
    trials, curves = run_with_resumes(tmp_path, 16, scheduler=scheduler)
    stopped = [trial for trial in trials if trial.state is TrialState.STOPPED_EARLY]
    finished = [trial for trial in trials if trial.state is TrialState.COMPLETED]
    assert len(stopped) >= 2
    assert len(stopped) + len(finished) == 16
    assert all(trial.epochs_done == EPOCHS for trial in finished)
    for trial in stopped:  # its metrics are those of its last epoch, and a better trial was running before it
        assert 1 <= trial.epochs_done < EPOCHS
        assert trial.val_accuracy == pytest.approx(trial.recipe["lr"] * trial.epochs_done / EPOCHS)
        assert any(other.recipe["lr"] > trial.recipe["lr"] for other in trials[: trial.number])
    assert [len(trial.curve) for trial in curves] == [trial.epochs_done for trial in trials]
    if scheduler == "hyperband":
        resumed, _ = run_with_resumes(tmp_path / "resumed", 7, 16, scheduler=scheduler)
        assert [(t.recipe["lr"], t.state, t.epochs_done) for t in resumed] == [
            (t.recipe["lr"], t.state, t.epochs_done) for t in trials
        ]


@dataclass(frozen=True)
class TuneTrial:
    """The attributes of a trial of Tune that a rule uses."""

    trial_id: str
    config: dict

    @classmethod
    def of(cls, number):
        return cls(f"trial {number}", {"trial": json.dumps({"number": number})})

    def __hash__(self):
        return hash(self.trial_id)


def feed(rule, number, curve):
    """Report ``curve`` as a trial until ``rule`` stops it; return its number of epochs."""
    trial = TuneTrial.of(number)
    rule.on_trial_add(None, trial)
    for epoch, accuracy in curve:
        if rule.on_trial_result(None, trial, {"epoch": epoch, SCORE: accuracy}) == "STOP":
            break
    rule.on_trial_complete(None, trial, {"epoch": epoch, SCORE: accuracy})
    return epoch


RULES = {
    "asha": lambda earlier: SuccessiveHalving([1], [1], EPOCHS, 3, earlier),
    "hyperband": lambda earlier: SuccessiveHalving([1, 3, 9], [9, 5, 3], EPOCHS, 3, earlier),
    "median": lambda earlier: MedianStopping(1, earlier),
}


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_rule_rebuilt_from_curves_decides_as_the_original(name):
    """Also after an interruption in the middle of a trial, which then continues from its last epoch."""
    rng = random.Random(name)
    curves = [[(epoch, rng.random()) for epoch in range(1, EPOCHS + 1)] for _ in range(60)]
    original = RULES[name](())
    epochs = [feed(original, number, curve) for number, curve in enumerate(curves)]
    assert len(set(epochs)) > 1
    earlier = [EarlierTrial(n, curve[:done]) for n, (curve, done) in enumerate(zip(curves, epochs, strict=True))]
    for cut in range(0, 60, 7):
        before_cut = curves[cut][: epochs[cut] - 1]
        rebuilt = RULES[name]([*earlier[:cut], EarlierTrial(cut, before_cut)])
        assert feed(rebuilt, cut, curves[cut][len(before_cut) :]) == epochs[cut]
        assert [feed(rebuilt, n, curves[n]) for n in range(cut + 1, 60)] == epochs[cut + 1 :]


def test_a_trial_that_lost_its_worker_counts_once():
    """It continues from its checkpoint under a new id of Tune, and the rule decides as without the loss."""
    curve = [(epoch, 0.3) for epoch in range(1, EPOCHS + 1)]
    for name in ("asha", "median"):
        rule, reference = RULES[name](()), RULES[name](())
        for each in (rule, reference):
            assert [feed(each, n, [(e, 0.1 + 0.1 * n) for e, _ in curve]) for n in range(4)] == [EPOCHS] * 4
            each.on_trial_add(None, TuneTrial.of(4))
            each.on_trial_result(None, TuneTrial.of(4), {"epoch": 1, SCORE: 0.9})
        restarted = TuneTrial("another id", TuneTrial.of(4).config)
        rule.on_trial_error(None, TuneTrial.of(4))
        rule.on_trial_add(None, restarted)
        rule.on_trial_result(None, restarted, {"epoch": 2, SCORE: 0.9})
        reference.on_trial_result(None, TuneTrial.of(4), {"epoch": 2, SCORE: 0.9})
        assert [feed(rule, n, curve) for n in range(5, 9)] == [feed(reference, n, curve) for n in range(5, 9)]


def test_a_failed_trial_does_not_influence_the_rules():
    for make in RULES.values():
        rule, failed = make(()), TuneTrial.of(0)
        rule.on_trial_add(None, failed)
        failure = TrialReport(done=True, failure=Failure(FailKind.DIVERGED, "nan")).to_tune()
        assert rule.on_trial_result(None, failed, failure) == "CONTINUE"
        rule.on_trial_complete(None, failed, failure)
        done = [feed(rule, n, [(epoch, 0.5) for epoch in range(1, EPOCHS + 1)]) for n in range(1, 6)]
        assert done == [EPOCHS] * 5


def test_the_brackets_of_hyperband_are_those_of_the_paper():
    """Table 1 of Li et al. 2018: R = 81, eta = 3."""
    assert max_brackets(SearchSection(scheduler="hyperband"), 81) == 5
    assert bracket_sizes(5, 3) == [81, 34, 15, 8, 5]
    rule = SuccessiveHalving([1, 3, 9, 27, 81], bracket_sizes(5, 3), 81, 3, ())
    brackets = [rule.bracket(number) for number in range(2 * 143)]
    assert [brackets.count(bracket) for bracket in range(5)] == [2 * n for n in bracket_sizes(5, 3)]
    assert brackets[:143] == sorted(brackets[:143]) == brackets[143:]


@pytest.mark.parametrize(
    ("search", "epochs", "message"),
    [
        (
            {"scheduler": "asha", "grace_epochs": 3},
            2,
            r"search.grace_epochs.*recipe.epochs.*3 and 2",
        ),
        ({"scheduler": "median", "grace_epochs": 3}, 2, r"search.grace_epochs.*recipe.epochs.*3 and 2"),
        ({"scheduler": "hyperband", "grace_epochs": 3}, 2, r"search.scheduler.*hyperband.*grace_epochs 3"),
        ({"scheduler": "hyperband"}, 2, r"search.scheduler.*hyperband.*reduction_factor 3, recipe.epochs 2"),
        ({"scheduler": "hyperband", "brackets": 4}, 12, r"search.brackets.*from 2 to 3, but got 4"),
        ({"scheduler": "hyperband", "brackets": 1}, 12, r"search.brackets.*from 2 to 3, but got 1"),
        ({"scheduler": "asha", "brackets": 2}, 12, r"search.brackets.*hyperband.*'asha'"),
        ({"scheduler": "asha", "reduction_factor": 1}, 12, r"search.reduction_factor .*2"),
    ],
)
def test_settings_that_cannot_work_are_refused(search, epochs, message):
    with pytest.raises(ValueError, match=message):
        small(search=search, recipe={"epochs": epochs})


@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_model_based_searchers_prefer_completed_trials_to_stopped_ones(name):
    """The stopped trials have the higher accuracies, but after one epoch; the completed ones have nine epochs."""
    from ..searchers.test_searchers import OPEN_RECIPES, SPACE, ConstrainedSpace, trial_of

    searcher = SEARCHERS[name](ConstrainedSpace(SPACE), OPEN_RECIPES)
    history = History()
    for number in range(30):
        proposal = SEARCHERS["random"](ConstrainedSpace(SPACE), OPEN_RECIPES).ask(history, random.Random(number))
        stopped = proposal.recipe.dropout == 0.0
        state = TrialState.STOPPED_EARLY if stopped else TrialState.COMPLETED
        trial = trial_of(proposal, number, state, 0.6 if stopped else 0.4)
        history = History((*history.trials, replace(trial, epochs_done=1 if stopped else 9)))
    dropouts = [searcher.ask(history, random.Random(f"ask {i}")).recipe.dropout for i in range(12)]
    assert dropouts.count(0.1) >= 9


def test_scores_rank_completed_before_stopped_before_failed_trials():
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


def test_stopped_trials_rank_by_their_value_at_the_same_epoch():
    from archsieve.search.searchers.ranking import FAILED_SCORE, score, scores_of

    from ..searchers.test_searchers import OPEN_RECIPES, SPACE, ConstrainedSpace, trial_of

    proposal = SEARCHERS["random"](ConstrainedSpace(SPACE), OPEN_RECIPES).ask(History(), random.Random(0))
    curves = [(0.1, 0.2, 0.3), (0.5, 0.6, 0.7), (0.4,), (0.05,), (0.45, 0.1), (0.2, 0.25, 0.3)]
    states = [TrialState.COMPLETED if len(curve) == 3 else TrialState.STOPPED_EARLY for curve in curves]
    trials = [
        replace(trial_of(proposal, number, state, max(curve)), epochs_done=len(curve), curve=curve)
        for number, (curve, state) in enumerate(zip(curves, states, strict=True))
    ]
    trials.append(replace(trial_of(proposal, 6, TrialState.FAILED, 0.9), curve=(0.9,)))
    scores = scores_of(trials, score)
    # after one epoch trial 2 was better than both complete trials with 0.3; trial 4 was worse than all after two
    assert sorted(range(7), key=lambda number: -scores[number])[:2] == [1, 2]
    assert scores[0] == scores[5] > scores[4] > scores[6] == FAILED_SCORE
    assert scores[3] < scores[0]
    assert scores_of(trials, score) == scores
    # without curves the order is that of the scores
    plain = [replace(trial, curve=()) for trial in trials]
    assert scores_of(plain, score) == [score(trial) for trial in plain]


def test_a_store_reads_the_curves_of_runs_with_stopped_trials(tmp_path):
    with open_store(tmp_path / "archsieve.db", create=True) as store:
        run_id = create_empty_run(store, small())
        ids = []
        for number in range(3):
            proposal = SEARCHERS["random"](small().constrained, small().recipes).ask(History(), random.Random(number))
            network = proposal.architecture
            made = store.propose(
                run_id,
                architecture=network.to_json(),
                fingerprint=network.fingerprint,
                cost=network.cost.at(64).to_json(),
                layers=[],
                choices=proposal.choices,
                recipe=proposal.recipe.to_json(),
                seed=0,
            )
            ids.append(made.trial)
            store.start(made.trial)
        values = {0: [0.2, 0.3], 1: [0.1]}
        for number, state in ((0, TrialState.COMPLETED), (1, TrialState.STOPPED_EARLY)):
            for epoch, value in enumerate(values[number], start=1):
                store.record_epoch(ids[number], epoch, {"val_accuracy": value})
            store.finish(ids[number], state, summary={"epochs_done": len(values[number])})
        before = store.history(run_id)
        history = store.history(run_id, before, curves=True)
        assert [trial.curve for trial in history] == [(0.2, 0.3), (0.1,), ()]
        assert store.history(run_id, history, curves=True).trials[0] is history.trials[0]
        assert all(trial.curve == () for trial in before)
