"""Look-ups: a failure names the nearest entry and lists the rest."""

import pytest

from archsieve.spaces.parameters.lookup import look_up, unknown

TABLE = {"grid": 1, "evolution": 2}


def test_what_is_there_is_found():
    assert look_up(TABLE, "grid", "searcher") == 1


def test_a_slip_gets_the_nearest_and_the_choices():
    with pytest.raises(ValueError, match="unknown searcher 'evoluton'; did you mean 'evolution'"):
        look_up(TABLE, "evoluton", "searcher")


def test_a_word_like_none_of_them_gets_the_choices():
    assert unknown("searcher", "zzz", TABLE) == "unknown searcher 'zzz'; choose from evolution, grid"


@pytest.mark.parametrize("name", [None, 3, ["grid"], {"a": 1}])
def test_what_is_no_name_is_refused_like_one(name):
    with pytest.raises(ValueError, match=r"unknown searcher .* choose from evolution, grid"):
        look_up(TABLE, name, "searcher")
