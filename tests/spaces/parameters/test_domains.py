"""Choices, ranges and repeats: valid values, scales, and errors for invalid arguments."""

import math
from collections import Counter

import pytest

from archsieve.spaces.blocks.standard import Conv
from archsieve.spaces.parameters.domains import Choice, Range, choice, repeat


def test_choice_has_its_options():
    assert choice(8, 16) == Choice((8, 16))


def test_one_and_true_are_different_options():
    assert len(choice(1, True).options) == 2


@pytest.mark.parametrize(
    ("make", "pattern"),
    [
        (lambda: choice(), "at least one option"),
        (lambda: choice(8, 16, 8), r"options .*\b8\b"),
        (lambda: Range(2, 1), r"low < high.*low=2.*high=1"),
        (lambda: Range(1, 1), "low < high"),
        (lambda: Range(0, 1, log=True), r"low > 0.*low=0"),
        (lambda: Range(float("nan"), 1), r"`low`.*nan"),
        (lambda: Range(0, float("inf")), r"`high`.*inf"),
        (lambda: Range(False, 1), r"`low`.*False"),
        (lambda: repeat(Conv(8), -1), r"`times`.*-1"),
        (lambda: repeat(Conv(8), choice(1, 2.0)), r"`times`.*2\.0"),
        (lambda: repeat(Conv(8), choice(1, True)), r"`times`.*True"),
        (lambda: Conv(choice(8, 0)), r"conv: width .*at least 1.*\b0$"),
    ],
)
def test_invalid_domain_is_refused(make, pattern):
    with pytest.raises(ValueError, match=pattern):
        make()


@pytest.mark.parametrize(
    ("domain", "values"),
    [
        (Range(0.0, 10.0), (0.0, 5.0, 10.0)),
        (Range(1e-4, 1.0, log=True), (1e-4, 1e-2, 1.0)),
        (Range(1, 100, log=True, integer=True), (1, 7, 100)),  # the interval of 1 starts at 0.5
    ],
)
def test_range_maps_fractions_on_its_scale(domain, values):
    assert [domain.at(fraction) for fraction in (0.0, 0.5, 1.0)] == pytest.approx(values)


def test_range_contains_its_bounds_but_no_booleans():
    domain = Range(0.0, 1.0)
    assert 0.0 in domain
    assert 1 in domain
    assert 1.1 not in domain
    assert True not in domain


def test_equal_repeats_have_equal_hashes():
    assert repeat(Conv(8), 2, {"stride": 2}) == repeat(Conv(8), 2, {"stride": 2})
    assert hash(repeat(Conv(8), 2, {"stride": 2})) == hash(repeat(Conv(8), 2, {"stride": 2}))


@pytest.mark.parametrize("log", [False, True])
def test_integer_range_gives_each_integer_its_interval(log):
    """Regression: the first and the last integer had only half the interval of the others."""
    domain = Range(1, 6, log=log, integer=True)
    counts = Counter(domain.at(i / 60_000) for i in range(60_001))
    assert set(counts) == {1, 2, 3, 4, 5, 6}
    shares = {n: math.log((n + 0.5) / (n - 0.5)) / math.log(13) if log else 1 / 6 for n in counts}
    assert {n: count / 60_001 for n, count in counts.items()} == pytest.approx(shares, abs=1e-3)
    assert all(domain.at(domain.fraction(n)) == n for n in counts)
