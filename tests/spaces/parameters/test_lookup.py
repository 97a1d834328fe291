"""Look-ups in tables of names: the error for an unknown name suggests the nearest and lists all."""

import pytest

from archsieve.spaces.parameters.lookup import look_up, unknown

TABLE = {"grid": 1, "evolution": 2}


def test_look_up_returns_the_entry():
    assert look_up(TABLE, "grid", "searcher") == 1


def test_misspelled_name_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"searcher 'evoluton'.*mean 'evolution'.*evolution, grid"):
        look_up(TABLE, "evoluton", "searcher")


def test_unlike_name_lists_all_names_without_suggestion():
    message = unknown("searcher", "zzz", TABLE)
    assert "searcher 'zzz'" in message
    assert message.endswith("evolution, grid")
    assert "mean" not in message


@pytest.mark.parametrize("name", [None, 3, ["grid"], {"a": 1}])
def test_value_that_is_not_a_string_is_refused(name):
    with pytest.raises(ValueError, match=r"searcher .*evolution, grid"):
        look_up(TABLE, name, "searcher")
