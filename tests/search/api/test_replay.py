"""Replay: a simulated clock, workers, and schedulers that stop trials on recorded curves."""

import pytest

import archsieve as av
from archsieve.results.database.records import TrialState

SPACE = av.Space(
    (1, 8, 8),
    [
        av.Conv(av.choice(4, 8, 16)),
        av.repeat(av.Residual(av.choice(8, 16, 32)), av.choice(0, 1, 2)),
        av.GlobalAverage(),
    ],
    classes=10,
)
EPOCHS = 9


def curve(architecture, recipe):
    final = min(1.0, architecture.cost.params / 80_000)
    return [final * epoch / EPOCHS for epoch in range(1, EPOCHS + 1)]


def replayed(**changes):
    return av.replay(SPACE, curve, None, {"epochs": EPOCHS}, **{"searcher": "random", "trials": 9, **changes})


def test_workers_share_a_simulated_clock():
    alone, four = replayed(), replayed(workers=4)
    assert alone.seconds == 9 * EPOCHS
    assert four.seconds == 3 * EPOCHS  # 4 + 4 + 1 trials
    assert len(alone.epochs) == len(four.epochs) == 9 * EPOCHS
    assert [one.seconds for one in four.epochs] == sorted(one.seconds for one in four.epochs)
    assert all(trial.state is TrialState.COMPLETED and trial.epochs_done == EPOCHS for trial in four.trials)
    assert four.best() == max(trial.val_accuracy for trial in four.trials)
    assert four.best(0.5) is None
    assert four == replayed(workers=4)
    slow = replayed(epoch_seconds=lambda architecture, recipe: 2.0, time_limit=4 * EPOCHS + 1)
    assert (len(slow.trials), slow.seconds) == (3, 4 * EPOCHS)  # the third has started and not ended an epoch


@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "median"])
def test_a_scheduler_stops_weak_trials_and_keeps_the_best(scheduler):
    complete, stopped = replayed(trials=12), replayed(trials=12, scheduler=scheduler, workers=2)
    early = [trial for trial in stopped.trials if trial.state is TrialState.STOPPED_EARLY]
    assert early
    assert all(1 <= trial.epochs_done < EPOCHS for trial in early)
    assert len(stopped.epochs) == sum(trial.epochs_done for trial in stopped.trials) < len(complete.epochs)
    assert stopped.best() == complete.best()


def test_the_searcher_learns_during_a_replay():
    settings = {"trials": 8, "workers": 2, "scheduler": "asha"}
    runs = {name: replayed(searcher=name, **settings) for name in ("gp", "random")}
    assert runs["gp"].best() >= runs["random"].best()
    # stopped trials have the curves from which gp learns, and the same values give the same proposals
    stopped = [trial for trial in runs["gp"].trials if trial.state is TrialState.STOPPED_EARLY]
    assert stopped
    assert all(len(trial.curve) == trial.epochs_done for trial in stopped)
    assert replayed(searcher="gp", **settings) == runs["gp"]


def test_gp_per_second_takes_less_simulated_time():
    """Every network has the same curve, so that only their seconds differ."""

    def seconds(acquisition):
        run = av.replay(
            SPACE,
            lambda architecture, recipe: [0.5] * EPOCHS,
            None,
            {"epochs": EPOCHS},
            trials=12,
            epoch_seconds=lambda architecture, recipe: 0.1 + architecture.cost.macs / 1e5,
            acquisition=acquisition,
        )
        return run.seconds

    assert seconds("per_second") < seconds("improvement")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workers": 0}, r"workers of replay\(\).*0"),
        ({"scheduler": "asha", "grace_epochs": 10}, r"grace_epochs.*10 and 9"),
        ({"epoch_seconds": 0}, r"epoch_seconds.*above 0.*0"),
        ({"epoch_seconds": "1s"}, r"epoch_seconds.*above 0.*'1s'"),
        ({"time_limit": float("nan")}, r"time_limit.*above 0.*nan"),
        ({"acquisition": "seconds"}, r"acquisition must be.*'seconds'"),
        ({"searcher": "tpe", "acquisition": "per_second"}, r"search.acquisition is for the searcher gp"),
        ({"scheduler": "best"}, r"search\.scheduler.*'best'$"),
        ({"searcher": "gpp"}, r"'gpp'; did you mean 'gp'"),
    ],
)
def test_settings_of_a_replay_that_cannot_work_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replayed(**changes)


def test_a_curve_that_is_too_short_or_no_accuracy_is_an_error():
    for bad in ([0.5], [50.0] * EPOCHS, ["good"] * EPOCHS, None):
        with pytest.raises(ValueError, match=r"curves\(\).*each of the 9 epochs"):
            av.replay(SPACE, lambda architecture, recipe, bad=bad: bad, None, {"epochs": EPOCHS})
