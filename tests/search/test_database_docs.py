"""The database's documentation, executed: every command gives the output that stands under it.

``ARCHSIEVE_WRITE_DOCS=1 pytest tests/search/test_database_docs.py`` writes the outputs anew.
"""

import gc
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

import archsieve
from archsieve.search.cli import main

ROOT = Path(archsieve.__file__).parent
PAGE = ROOT / "docs" / "database.md"
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    """Run a line of the page in a folder of its own, in this process: what it prints."""
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "digits.parquet", tmp_path / "docs")
    monkeypatch.chdir(tmp_path)

    def run(line: str) -> str:
        program, *arguments = shlex.split(line)
        if program == "export":
            monkeypatch.setenv(*arguments[0].split("="))
            return ""
        assert program == "archsieve", line
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        with pytest.raises(SystemExit):
            main()
        gc.enable()  # which the command line turns off
        out, err = capsys.readouterr()
        return "\n".join(text.rstrip() for text in f"{out}{err}".splitlines()).strip("\n")

    return run


def test_every_command_prints_what_stands_under_it(shell):
    text = PAGE.read_text(encoding="utf-8")

    def executed(block: re.Match[str]) -> str:
        lines = [line for line in block[1].splitlines() if line.startswith("$ ")]
        parts = [f"{line}\n{told}\n" if (told := shell(line[2:])) else f"{line}\n" for line in lines]
        return "```console\n" + "\n".join(parts).replace("\n\n$ export", "\n$ export") + "```"

    found = BLOCK.sub(executed, text)
    if os.environ.get("ARCHSIEVE_WRITE_DOCS"):
        PAGE.write_text(found, encoding="utf-8")
    assert found == text
    assert text.count("\n$ archsieve") >= 15


def test_the_python_runs(shell, capsys):
    shell("archsieve results import docs/digits.parquet --db digits.db")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, str(PAGE), "exec"), {})
    out = capsys.readouterr().out
    assert out.startswith("5 0.98")
    assert "recipe.dropout" in out
