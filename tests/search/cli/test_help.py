"""The help of every command: whole sentences that fit 80 columns, and one example of a call."""

import shlex

import pytest
import typer

from archsieve.search.cli.main import app


def walk(command, call):
    """Yield the call and the command for ``command`` and for all commands of a group."""
    yield call, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, f"{call} {name}")


CALLS = dict(walk(typer.main.get_command(app), "archsieve"))
GROUPS = {call: command for call, command in CALLS.items() if hasattr(command, "commands")}
COMMANDS = {call: command for call, command in CALLS.items() if call not in GROUPS}


def summary(command):
    """Return the first paragraph of the help on one line."""
    return " ".join(command.help.split("\n\n")[0].split())


@pytest.fixture
def help_lines(line, monkeypatch):
    """Return the lines of ``CALL --help`` on a terminal with 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(call):
        code, out, err = line(*call.split()[1:], "--help")
        assert (code, err) == (0, "")
        return out.splitlines()

    return run


def test_groups_and_commands_are_walked():
    assert set(GROUPS) == {"archsieve", "archsieve results", "archsieve db"}
    assert {"archsieve search", "archsieve results best", "archsieve db check"} <= set(COMMANDS)


@pytest.mark.parametrize("call", CALLS)
def test_no_help_line_is_cut_or_wider_than_80_columns(call, help_lines):
    lines = help_lines(call)
    assert [text for text in lines if len(text) > 80] == []
    assert [text for text in lines if text.endswith("...") and not text.startswith("Usage:")] == []


@pytest.mark.parametrize("call", GROUPS)
def test_a_group_lists_the_whole_first_sentence_of_each_command(call, help_lines):
    listed = [" ".join(text.split()) for text in help_lines(call)]
    for name, command in GROUPS[call].commands.items():
        assert f"{name} {summary(command)}" in listed


@pytest.mark.parametrize("call", CALLS)
def test_every_help_text_is_a_sentence(call):
    texts = [summary(CALLS[call]), *(given.help for given in CALLS[call].params if given.help)]
    assert [text for text in texts if not (text[0].isupper() and text.endswith("."))] == []


@pytest.mark.parametrize("call", COMMANDS)
def test_every_command_has_one_example_that_can_be_called(call, help_lines):
    (example,) = [text.strip() for text in help_lines(call) if text.strip().startswith("Example:")]
    command = COMMANDS[call]
    assert command.help.split("\n\n")[-1].strip() == example  # complete on one line, so that it can be copied
    words = shlex.split(example.removeprefix("Example: "))
    assert " ".join(words[: len(call.split())]) == call
    command.make_context(call, words[len(call.split()) :])  # raises for an unknown option or a missing argument
