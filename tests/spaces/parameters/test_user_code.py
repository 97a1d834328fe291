"""User code: the line that raised an exception, and exceptions as text."""

import runpy

import pytest

from archsieve.spaces.architectures.budget import parse_count
from archsieve.spaces.parameters.user_code import at_definition, at_line, described, first_line, raised_at


def raised_by(call):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any exception
        call()
    return caught.value


def test_the_line_is_that_of_the_user_and_not_of_libraries(tmp_path):
    script = tmp_path / "user.py"
    for call in ("json.loads('{')", "Budget(params='x')"):
        script.write_text(f"import json\nfrom archsieve.spaces.architectures.budget import Budget\n\n{call}\n")
        assert raised_at(raised_by(lambda: runpy.run_path(str(script)))) == f"{script}:4"
    assert at_line(raised_by(lambda: runpy.run_path(str(script))), folder=False) == " at user.py:4"
    script.write_text("x = 1\ny = (\n")
    assert raised_at(raised_by(lambda: runpy.run_path(str(script)))) == f"{script}:2"
    assert at_line(ValueError("never raised")) == ""


def test_without_user_code_the_innermost_line_is_given():
    error = raised_by(lambda: parse_count("x", "params"))
    error.__traceback__ = error.__traceback__.tb_next.tb_next  # without the frames of this test
    assert "budget.py:" in raised_at(error)


def test_without_a_frame_of_user_code_the_line_of_the_function_is_given(tmp_path):
    script = tmp_path / "user.py"
    script.write_text("import torch\n\ndef wrong():\n    return 3\n")
    function = runpy.run_path(str(script))["wrong"]
    error = raised_by(lambda: parse_count("x", "params"))
    error.__traceback__ = error.__traceback__.tb_next.tb_next  # without the frames of this test
    assert at_line(error, function) == at_definition(function) == f" at {script}:3"
    assert at_definition(len) == ""


class Unreadable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "line", "text"),
    [
        (ValueError("one\ntwo"), "one", "ValueError: one two"),
        (ValueError("\n one"), "one", "ValueError: one"),
        (ValueError(), "ValueError", "ValueError"),
        (SystemExit(3), "3", "SystemExit: 3"),
        (Unreadable(), "Unreadable", "Unreadable"),
    ],
)
def test_the_text_of_an_exception_is_one_line(error, line, text):
    assert (first_line(error), described(error)) == (line, text)
