import pytest

from archsieve.results.query.comparison import compare
from archsieve.results.query.trial_name import trial_named


@pytest.fixture
def trials(store, new_run, propose, complete):
    first = new_run("digits")
    return [
        complete(first, "abcd1", 0.9),
        complete(first, "abcd2", 0.8, params=7),
        complete(new_run("b"), "abcd1", None),
    ]


def test_trials_side_by_side(trials):
    rows = {row.name: row for row in compare(trials)}
    assert rows["val_accuracy"].values == (0.9, 0.8, None)
    assert rows["params"].values == (1370, 7, 1370)
    assert rows["params"].differs
    assert not rows["macs"].differs
    assert rows["state"].values == ("completed", "completed", "failed")
    assert "train_loss" not in rows  # none of them has it
    assert "lr" not in rows  # all have the same


def test_only_the_parts_of_the_recipe_that_differ_are_told(store, new_run):
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
    told = [(row.part, row.name, row.values) for row in compare([first, second]) if row.part in ("recipe", "choices")]
    assert told == [
        ("recipe", "lr", (0.1, 0.2)),
        ("recipe", "nesterov", (True, 1)),
        ("choices", "2", (0, 1)),
        ("choices", "2.conv.width", (1, None)),
    ]


def test_a_comparison_needs_two_different_trials(trials):
    for few in ([], trials[:1], [trials[0], trials[0]], [*trials, trials[0]]):
        with pytest.raises(ValueError, match="two or more different trials"):
            compare(few)


def test_a_trial_answers_to_its_id_its_place_and_its_fingerprint(store, trials):
    first, second, third = trials
    assert trial_named(store, second.trial) == trial_named(store, str(second.trial)) == second
    assert trial_named(store, "digits:1") == trial_named(store, "abcd2") == trial_named(store, "ABCD2") == second
    assert trial_named(store, "b:0") == third
    with pytest.raises(
        ValueError, match=rf"several begin so: {first.trial} \(abcd1 in digits\), {third.trial} \(abcd1"
    ):
        trial_named(store, "abcd1")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("99", "no trial has the id 99"),
        ("digits:7", "run 'digits' has 2 trials, numbered from 0, but none with the number 7"),
        ("digit:0", "did you mean 'digits'"),
        ("feed", "no trial has a fingerprint that begins with 'feed'"),
        ("abc", "a trial is named by its id"),
        ("", "a trial is named by its id"),
        ("-1", "a trial is named by its id"),
        ("../x", "a trial is named by its id"),
        ("%%%%%", "a trial is named by its id"),
    ],
)
def test_what_names_no_trial(store, trials, name, says):
    with pytest.raises(ValueError, match=says):
        trial_named(store, name)
