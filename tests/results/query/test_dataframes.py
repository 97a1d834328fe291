"""Data frames of trials, learning curves and layers."""

import math

import pytest

from archsieve.results.query.dataframes import frame, layers_frame, metrics_frame


def test_a_frame_has_a_row_per_trial(store, new_run, complete):
    assert list(frame(store).columns)[:3] == ["run", "number", "state"]
    run_id = new_run()
    complete(run_id, "f0", 0.9)
    complete(run_id, "f1", None)
    table = frame(store, "digits")
    assert list(table.index) == [1, 2]
    assert table.loc[1, "val_error"] == pytest.approx(0.1)
    assert (table.loc[2, "recipe.lr"], table.loc[2, "choices.stage.width"]) == (0.1, 1)
    assert len(table.query("val_accuracy > 0.5 and params < 5000")) == 1


def test_a_frame_of_curves_has_a_row_per_epoch(store, new_run, complete, propose):
    assert metrics_frame(store).empty
    run_id = new_run()
    first = complete(run_id, "f0", 0.9)
    second = propose(run_id, "f1")
    store.start(second.trial)
    store.record_epoch(second.trial, 1, {"val_loss": math.nan})
    table = metrics_frame(store, "digits")
    assert list(table.index) == [(first.trial, 1), (first.trial, 2), (second.trial, 1)]
    assert table.loc[(first.trial, 2), "val_accuracy"] == 0.9
    assert math.isnan(table.loc[(second.trial, 1), "val_loss"])
    assert table.groupby("trial").val_accuracy.max()[first.trial] == 0.9


def test_a_frame_of_layers_adds_up_to_the_trials(store, new_run, complete):
    assert layers_frame(store).empty
    trial = complete(new_run(), "f0", 0.9)
    table = layers_frame(store, "digits")
    assert list(table.loc[trial.trial].name) == ["conv", "pool", "fc"]
    assert table.params.sum() == trial.params
    assert table.macs.sum() == trial.macs
