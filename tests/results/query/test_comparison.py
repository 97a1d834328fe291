"""Comparisons of trials, and the names by which a trial can be found."""

import re

import pytest

from archsieve.results.query.comparison import compare
from archsieve.results.query.trial_name import find_trial


@pytest.fixture
def trials(store, new_run, propose, complete):
    first = new_run("digits")
    return [
        complete(first, "abcd1", 0.9),
        complete(first, "abcd2", 0.8, params=7),
        complete(new_run("b"), "abcd1", None),
    ]


def test_a_comparison_has_the_values_of_all_trials(trials):
    rows = {row.name: row for row in compare(trials)}
    assert rows["val_accuracy"].values == (0.9, 0.8, None)
    assert rows["params"].values == (1370, 7, 1370)
    assert rows["params"].differs
    assert not rows["macs"].differs
    assert rows["state"].values == ("completed", "completed", "failed")
    assert "train_loss" not in rows  # no trial has it
    assert "lr" not in rows  # equal in all trials


def test_only_the_parts_of_recipe_and_choices_that_differ_are_included(store, new_run):
    def propose(run_id, recipe, choices):
        return store.propose(
            run_id,
            architecture={},
            fingerprint="f",
            cost=dict.fromkeys(("params", "macs", "activations", "memory_bytes"), 1),
            choices=choices,
            recipe=recipe,
            seed=1,
        )

    run_id = new_run()
    first = propose(run_id, {"lr": 0.1, "nesterov": True, "epochs": 2}, {"2": 0, "2.conv.width": 1})
    second = propose(run_id, {"lr": 0.2, "nesterov": 1, "epochs": 2}, {"2": 1})
    nested = [(row.part, row.name, row.values) for row in compare([first, second]) if row.part in ("recipe", "choices")]
    assert nested == [
        ("recipe", "lr", (0.1, 0.2)),
        ("recipe", "nesterov", (True, 1)),
        ("choices", "2", (0, 1)),
        ("choices", "2.conv.width", (1, None)),
    ]


def test_a_comparison_needs_two_different_trials(trials):
    for invalid in ([], trials[:1], [trials[0], trials[0]], [*trials, trials[0]]):
        ids = str([trial.trial for trial in invalid])
        with pytest.raises(ValueError, match=rf"two or more.*{re.escape(ids)}"):
            compare(invalid)


def test_a_trial_is_found_by_id_by_number_and_by_fingerprint(store, trials):
    first, second, third = trials
    assert find_trial(store, second.trial) == find_trial(store, str(second.trial)) == second
    assert find_trial(store, "digits:1") == find_trial(store, "abcd2") == find_trial(store, "ABCD2") == second
    assert find_trial(store, "b:0") == third
    with pytest.raises(ValueError, match=rf"several.*{first.trial} \(abcd1 in digits\), {third.trial} \(abcd1"):
        find_trial(store, "abcd1")


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("99", "id 99"),
        ("digits:7", "'digits' has 2 trials.*number 7"),
        ("digist:0", "did you mean 'digits'"),
        ("feed", "fingerprint.*'feed'"),
        ("abc", "at least 4 characters.*'abc'"),
        ("", "at least 4 characters.*''"),
        ("-1", "at least 4 characters.*'-1'"),
        ("../x", r"at least 4 characters.*'\.\./x'"),
        ("%%%%%", "at least 4 characters.*'%%%%%'"),
    ],
)
def test_an_unknown_or_invalid_trial_name_is_an_error(store, trials, name, pattern):
    with pytest.raises(ValueError, match=pattern):
        find_trial(store, name)
