"""Choices, ranges and repeats: holes that refuse to hold nonsense."""

import math
from collections import Counter

import pytest

from archsieve.spaces.blocks.standard import Conv
from archsieve.spaces.parameters.domains import Choice, Range, choice, repeat


def test_a_choice_holds_its_options():
    assert choice(8, 16) == Choice((8, 16))


def test_one_and_true_are_different_options():
    assert len(choice(1, True).options) == 2


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: choice(), "a choice needs at least one option, but got none; give it values"),
        (lambda: choice(8, 16, 8), "the options of a choice must differ, but 8 is there twice; remove one"),
        (lambda: Range(2, 1), r"`low < high` must hold, but got \(low=2, high=1\)"),
        (lambda: Range(1, 1), "`low < high` must hold"),
        (lambda: Range(0, 1, log=True), "a logarithmic range needs low > 0, but got low=0"),
        (lambda: Range(float("nan"), 1), "a range needs a finite number as `low`, but got nan"),
        (lambda: Range(0, float("inf")), "a range needs a finite number as `high`, but got inf"),
        (lambda: Range(False, 1), "a range needs a finite number as `low`, but got False"),
        (lambda: repeat(Conv(8), -1), "`times` of a repeat must be whole numbers of at least 0, but got -1"),
        (lambda: repeat(Conv(8), choice(1, 2.0)), "`times` of a repeat .* but got 2.0"),
        (lambda: repeat(Conv(8), choice(1, True)), "`times` of a repeat .* but got True"),
        (lambda: Conv(choice(8, 0)), "conv: width must be a whole number of at least 1, but got 0"),
    ],
)
def test_nonsense_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(
    ("hole", "values"),
    [
        (Range(0.0, 10.0), (0.0, 5.0, 10.0)),
        (Range(1e-4, 1.0, log=True), (1e-4, 1e-2, 1.0)),
        (Range(1, 100, log=True, integer=True), (1, 7, 100)),  # 1 begins at a half
    ],
)
def test_a_range_is_walked_on_its_own_scale(hole, values):
    assert [hole.at(fraction) for fraction in (0.0, 0.5, 1.0)] == pytest.approx(values)


def test_a_range_contains_its_ends_and_no_truth_values():
    hole = Range(0.0, 1.0)
    assert 0.0 in hole
    assert 1 in hole
    assert 1.1 not in hole
    assert True not in hole


def test_repeats_are_values():
    assert repeat(Conv(8), 2, {"stride": 2}) == repeat(Conv(8), 2, {"stride": 2})
    assert hash(repeat(Conv(8), 2, {"stride": 2})) == hash(repeat(Conv(8), 2, {"stride": 2}))


@pytest.mark.parametrize("log", [False, True])
def test_whole_numbers_are_drawn_evenly_on_their_scale(log):
    """The ends had half of what is between them."""
    hole = Range(1, 6, log=log, integer=True)
    found = Counter(hole.at(place / 60_000) for place in range(60_001))
    assert set(found) == {1, 2, 3, 4, 5, 6}
    shares = {n: math.log((n + 0.5) / (n - 0.5)) / math.log(13) if log else 1 / 6 for n in found}
    assert {n: count / 60_001 for n, count in found.items()} == pytest.approx(shares, abs=1e-3)
    assert all(hole.at(hole.fraction(n)) == n for n in found)
