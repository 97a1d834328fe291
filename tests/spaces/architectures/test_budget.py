"""Budgets: numbers with units, errors for other values, and broken limits."""

import pytest

from archsieve.spaces.architectures.budget import Budget, format_count, parse_count
from archsieve.spaces.blocks.cost import Cost


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (60_000, 60_000),
        ("60000", 60_000),
        ("60k", 60_000),
        ("5M", 5_000_000),
        ("1.2G", 1_200_000_000),
        ("2.5k", 2_500),
        ("1e6", 1_000_000),
        ("1_000", 1_000),
        ("1,000", 1_000),
        ("12,345,678", 12_345_678),
        ("1,500k", 1_500_000),
        ("1.250M", 1_250_000),
        ("0.1k", 100),
        (1e6, 1_000_000),
        (0, 0),
    ],
)
def test_parse_count_with_decimal_units(value, expected):
    assert parse_count(value, "params") == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("2GB", 2 * 10**9), ("512MiB", 512 * 2**20), ("1.5KiB", 1536), ("2M", 2 * 10**6), ("7B", 7)]
)
def test_parse_count_with_byte_units(value, expected):
    assert parse_count(value, "memory", in_bytes=True) == expected


@pytest.mark.parametrize(
    "value",
    ["5MM", "5 M", "-1", "abc", "", "k", "5e-1", "1.2.3", "inf", "nan", "2GB", "0x10", "2.5", "1.2345k", ",5M"],
)
def test_invalid_count_is_refused_with_examples(value):
    with pytest.raises(ValueError, match=r'params .*at least 0.*60000.*"60k"'):
        parse_count(value, "params")


@pytest.mark.parametrize("value", ["1,5M", "1,5", "12,34", "1,0000", "1000,000", "1.000", "60.000", "1.000.000"])
def test_a_comma_or_point_that_may_be_the_other_one_is_refused(value):
    with pytest.raises(ValueError, match=rf"budget\.params .*{value!r}.*\d"):
        Budget(params=value)


@pytest.mark.parametrize("value", [-1, 2.5, float("nan"), float("inf"), True, None, [5], b"5M"])
def test_values_that_are_no_count_are_refused(value):
    with pytest.raises(ValueError, match=r"params .*whole number"):
        parse_count(value, "params")


@pytest.mark.parametrize(("value", "expected"), [("5m", "5M"), ("60K", "60k"), ("2g", "2G")])
def test_unit_in_wrong_case_gets_a_suggestion(value, expected):
    with pytest.raises(ValueError, match=f'mean "{expected}"'):
        parse_count(value, "params")


@pytest.mark.parametrize(
    ("value", "text"),
    [(412, "412"), (1_000, "1.00k"), (59_900, "59.9k"), (6_000_000, "6.00M"), (999_600, "1.00M"), (999_400, "999k")],
)
def test_format_count_has_three_digits(value, text):
    assert format_count(value) == text


def test_budget_parses_units():
    budget = Budget(params="60k", macs="6M", memory_bytes="2GB", min_macs="1M")
    assert (budget.params, budget.macs, budget.memory_bytes, budget.min_macs) == (60_000, 6_000_000, 2 * 10**9, 10**6)
    assert budget.limits() == {"params": (0, 60_000), "macs": (10**6, 6 * 10**6), "memory_bytes": (0, 2 * 10**9)}


def test_budget_limits_are_inclusive():
    budget = Budget(params=100, min_params=50)
    costs = [Cost(params, 0, 0, 0) for params in (49, 50, 100, 101)]
    assert [budget.allows(cost) for cost in costs] == [False, True, True, False]
    assert budget.broken(costs[0]) == ["params 49 < 50"]
    assert budget.broken(costs[3]) == ["params 101 > 100"]


def test_budget_without_limits_allows_everything():
    assert Budget().allows(Cost(10**12, 10**15, 0, 0))
    assert str(Budget()) == "no limit"


def test_budget_as_text():
    assert str(Budget(params="60k", min_macs="1M")) == "params <= 60.0k and macs >= 1.00M"


def test_lower_limit_above_the_upper_limit_is_refused():
    with pytest.raises(ValueError, match=r"budget\.min_params .*budget\.params.*\b11\b.*\b10\b"):
        Budget(params=10, min_params=11)


def test_unknown_key_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"budget\.param: .*'param'.*'params'"):
        Budget.of({"param": 5})


@pytest.mark.parametrize("text", ["1e999999999", "0e999999999", "1e1000k", "2.5e0123456789"])
def test_an_exponent_that_would_fill_the_memory_is_refused(text):
    with pytest.raises(ValueError, match=r"params must be a whole number"):
        parse_count(text, "params")


def test_an_exponent_of_three_digits_is_exact():
    assert parse_count("1e100", "params") == 10**100
