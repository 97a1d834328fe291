"""Ranges and options of a recipe as tables, with priors and weights."""

import pytest

from archsieve.spaces.parameters.domains import Choice, Range
from archsieve.spaces.recipes.parameter_table import with_options, written_options
from archsieve.spaces.recipes.recipe import RecipeSpace


def test_tables_are_ranges_and_choices():
    recipes = RecipeSpace.of(
        lr={"low": 0.01, "high": 1.0, "log": True, "prior": 0.1},
        epochs={"low": 5, "high": 20, "prior": 10},
        optimizer={"options": ["sgd", "adamw"], "weights": [3, 1]},
        dropout={"options": [0.0, 0.1]},
        class_weights={"options": ["none", {"cat": 1.0, "options": 3.0}], "weights": [2, 1]},
    )
    assert recipes.free_parameters == {
        "lr": Range(0.01, 1.0, log=True, prior=0.1),
        "epochs": Range(5, 20, integer=True, prior=10),
        "optimizer": Choice(("sgd", "adamw"), (3, 1)),
        "dropout": Choice((0.0, 0.1)),
        "class_weights": Choice(("none", '{"cat": 1.0, "options": 3.0}'), (2, 1)),
    }


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            {"lr": {"low": 0.01, "high": 1.0, "prior": 2.0}},
            "recipe.lr: .* between low=0.01 and high=1.0, but",
        ),
        ({"lr": {"low": 0.01, "high": 1.0, "prior": 0.001}}, "got 0.001; use the value .* or widen the range"),
        ({"lr": {"low": 0.01, "high": 1.0, "prior": "x"}}, "recipe.lr: `prior` of a range must be a finite number"),
        ({"lr": {"low": 0.01, "high": 1.0, "prior": True}}, "`prior` of a range must be a finite number"),
        ({"epochs": {"low": 5, "high": 20, "prior": 7.5}}, "recipe.epochs: .* whole number, but got 7.5; use 8"),
        ({"lr": {"low": 0.01, "high": 1.0, "priors": 0.1}}, "key of recipe.lr 'priors'; did you mean 'prior'"),
        ({"optimizer": {"options": ["sgd", "adam"], "weights": [1]}}, "recipe.optimizer: .* 1 weights for 2 options"),
        ({"optimizer": {"options": ["sgd", "adam"], "weights": [1, 0]}}, "above 0, but got 0; use a small number"),
        ({"optimizer": {"options": ["sgd", "adam"], "weights": [1, "2"]}}, "must be finite numbers above 0"),
        ({"optimizer": {"options": ["sgd", "adam"], "weights": [1e-320, 1e300]}}, "factor of 1e300.*1e-320 and 1e"),
        ({"optimizer": {"options": ["sgd", "adam"], "weights": [1e308, 1e308]}}, "less than 1e300, but got 1e"),
        ({"optimizer": {"weights": [1, 2]}}, "recipe.optimizer needs a list of options and a list of weights"),
        ({"optimizer": {"options": ["sgd", "sdg"], "weights": [1, 2]}}, "recipe.optimizer must be one of sgd"),
        ({"lr": {"options": [0.1, 0.2], "prior": 0.1}}, "a range with low and high, or options .* remove one of them"),
    ],
)
def test_errors_name_the_key_and_the_fix(entries, message):
    with pytest.raises(ValueError, match=message):
        RecipeSpace.of(**entries)


def test_options_are_found_and_changed_in_every_form():
    table = {"options": ["a", "b"], "weights": [1, 2]}
    for value, options in [("a", ["a"]), (["a", "b"], ["a", "b"]), (table, ["a", "b"]), (None, [None])]:
        assert written_options(value) == options
    assert with_options(table, str.upper) == {"options": ["A", "B"], "weights": [1, 2]}
    assert with_options(["a"], str.upper) == ["A"]
    assert with_options("a", str.upper) == "A"
    assert with_options({"low": 1, "high": 2}, str.upper) == {"low": 1, "high": 2}
