"""What contributors are told: hooks and workflow are the checks of .ci/run, and the recipes name what is there."""

import re
from pathlib import Path

import yaml

import archsieve

ROOT = Path(archsieve.__file__).resolve().parent
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def commands(target):
    """The lines of a target of the Makefile, and of no other."""
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in found[1].splitlines()]


def test_the_hooks_run_what_make_check_runs_and_fetch_nothing():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    hooks = {hook["id"]: hook for hook in config["repos"][0]["hooks"]}
    assert {hook["language"] for hook in hooks.values()} == {"system"}
    assert hooks["check"]["entry"] == "make check"
    assert {hooks["ruff-check"]["entry"], hooks["ruff-format"]["entry"]} <= set(commands("check"))


def test_the_workflow_runs_the_same_script_and_pins_what_it_uses():
    (job,) = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]
    assert all(re.search(r"@[0-9a-f]{40}$", step["uses"]) for step in job["steps"] if "uses" in step)


def test_what_must_pass_is_what_contributors_are_told():
    script = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in script if line.startswith("make ")] == ["make check", "make docs", "make test"]
    assert "`make check`,\n`make docs`, `make test`" in CONTRIBUTING


def test_every_file_that_is_named_is_there():
    named = re.findall(r"`([a-z_.]+/[a-z_/]*(?:\.\w+)?)`", CONTRIBUTING)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_table_that_is_named_is_there():
    tables = re.findall(r"`([A-Z]+)` in `([a-z_/]+\.py)`", CONTRIBUTING)
    assert tables
    assert [
        name for name, file in tables if not re.search(rf"^{name}\b", (ROOT / file).read_text(), re.MULTILINE)
    ] == []


def test_the_changelog_begins_with_this_version():
    first = re.search(r"^## (\S+?),? ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    assert first == archsieve.__version__


def holders(test, texts):
    """The files of ``texts`` (by path below ``tests/``) that have ``test``, written ``name`` or ``file::name``."""
    file, _, name = test.rpartition("::")
    return [path for path, text in texts.items() if f"\ndef {name}(" in text and file in ("", path)]


def test_every_mistake_is_held_by_one_test_that_is_there():
    folder = ROOT / "tests"
    texts = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("test_*.py")}
    named = set(re.findall(r"`((?:\S+::)?test_\w+)`", (ROOT / "docs/mistakes.md").read_text()))
    assert named
    assert {test: found for test in named if len(found := holders(test, texts)) != 1} == {}
    assert holders("a/test_x.py::test_y", {"a/test_x.py": "\ndef test_y(", "test_x.py": "\ndef test_y("}) == [
        "a/test_x.py"
    ]
