"""CONTRIBUTING.md: hooks and workflow run the checks of .ci/run, and the files and tables that it names exist."""

import re
from pathlib import Path

import yaml

import archsieve

ROOT = Path(archsieve.__file__).resolve().parent
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def commands(target):
    """Return the command lines of one target of the Makefile."""
    match = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in match[1].splitlines()]


def test_the_hooks_run_what_make_check_runs_and_fetch_nothing():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    hooks = {hook["id"]: hook for hook in config["repos"][0]["hooks"]}
    assert {hook["language"] for hook in hooks.values()} == {"system"}
    assert hooks["check"]["entry"] == "make check"
    assert {hooks[name]["entry"] for name in ("ruff-check", "ruff-format", "codespell")} <= set(commands("check"))


def test_the_workflow_runs_the_same_script_and_pins_what_it_uses():
    (job,) = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]
    assert all(re.search(r"@[0-9a-f]{40}$", step["uses"]) for step in job["steps"] if "uses" in step)


def test_the_checks_of_ci_are_those_of_contributing_md():
    script = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in script if line.startswith("make ")] == ["make check", "make docs", "make test"]
    assert "`make check`,\n`make docs`, `make test`" in CONTRIBUTING


def test_every_named_file_exists():
    named = re.findall(r"`([a-z_.]+/[a-z_/]*(?:\.\w+)?)`", CONTRIBUTING)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_named_table_exists():
    tables = re.findall(r"`([A-Z]+)` in `([a-z_/]+\.py)`", CONTRIBUTING)
    assert tables
    assert [
        name for name, file in tables if not re.search(rf"^{name}\b", (ROOT / file).read_text(), re.MULTILINE)
    ] == []


def test_the_changelog_begins_with_this_version():
    first = re.search(r"^## (\S+?),? ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    assert first == archsieve.__version__


def files_with(test, texts):
    """Return the files with the function ``test``, written ``name`` or ``file::name``.

    ``texts`` maps paths below ``tests/`` to file contents.
    """
    file, _, name = test.rpartition("::")
    return [path for path, text in texts.items() if f"\ndef {name}(" in text and file in ("", path)]


def test_every_tested_claim_has_one_existing_test():
    folder, page = ROOT / "tests", (ROOT / "docs/contributing/tested_claims.md").read_text()
    texts = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("test_*.py")}
    named = set(re.findall(r"`((?:\S+::)?test_\w+)`", page))
    assert named
    assert {test: files for test in named if len(files := files_with(test, texts)) != 1} == {}
    # no name escapes the check above, for example one without backticks or cut short by an ellipsis
    assert set(re.findall(r"\btest_\w+\b(?!\.py)", page)) == {test.rpartition("::")[2] for test in named}
    assert [path for path in re.findall(r"`([\w/]+/test_\w+\.py)`", page) if not exists_in_tests(path)] == []
    assert files_with("a/test_x.py::test_y", {"a/test_x.py": "\ndef test_y(", "test_x.py": "\ndef test_y("}) == [
        "a/test_x.py"
    ]


def exists_in_tests(path):
    return (ROOT / "tests" / path.removeprefix("tests/")).is_file()
