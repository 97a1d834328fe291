"""Every block of the README and the documentation is run, or stands in a short list with the reason why not.

``ARCHSIEVE_WRITE_DOCS=1 pytest tests/docs/test_docs.py`` writes the outputs on the pages again.
"""

import ast
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from .pages import (
    PAGES,
    ROOT,
    RUN,
    TABLE_COLUMNS,
    Fenced,
    Shell,
    check_shell,
    check_spelling,
    check_toml,
    fenced,
    furnish,
    save,
)

# Trains for longer than a quick test may, or needs what such a command has made.
SLOW = re.compile(
    r"archsieve (search|train|ensemble|export|doctor|resume|report (first|noise)|results \w+ (--run )?noise)\b"
)
# Python that trains is slow as well, but for the page that a reader comes to first.
TRAINS = re.compile(r"\bsearch\(|\bretrain_trial\(|\bav\.(run_search|resume_search|train)\(|run=\"noise\"")
SEARCHED = ("README.md",)
# Commands, and beginnings of Python blocks, that are not run here, and why; the spelling of commands is checked.
NOT_HERE = {
    r'archsieve results (best --run from-file|query "f1_macro)': "needs a search; test_metric_search.py asks the same",
    r"pip install": "it would change the environment that runs the tests",
    r"pre-commit": "it is not a requirement; tests/test_contributing.py compares its hooks with make check",
    r"archsieve (quantize|deploy|export digits:0 --format c|results best --metric int8)|cc -std|\./classify": (
        "needs the extra devices; test_device_formats.py and test_retraining.py do the same"
    ),
    r"archsieve dashboard": "it serves until Ctrl-C; test_dashboard.py has it answer",
    r"archsieve explain": "it needs a finished zero-shot search; test_zero_shot_search.py has one explained",
    r"archsieve (export TRIAL|predict (runs/)?RUN)": (
        "it needs a finished zero-shot search; test_zero_shot_folder.py has one"
    ),
    r"archsieve ensemble flowers": "needs a search of one network; test_networks_search.py makes a soup of it",
    r"archsieve search mine\.toml$": "up to ten minutes; test_session.py searches an image folder",
    r"archsieve search examples/glyphs.toml": "a quarter of an hour; test_zero_shot_search.py has a smaller one",
    r"results = tuner\.fit\(\)": "needs a run of the reader's; see test_imported_runs.py",
    r'import archsieve as av\n\nresult = av.run_search\(\n    "search.toml"': "needs a cluster; see test_cluster.py",
    r"ARCHSIEVE_ENABLE_FAULTS|archsieve resume (broken|night)": "needs a killed process; test_faults_slow.py has some",
}
# Whole pages whose scripts need several machines, SLURM or Kubernetes; that bash can read them is checked.
SEVERAL_MACHINES = {"clusters.md": "test_cluster.py has a head and two workers in namespaces of their own"}
AROUND = {"zero_shot.md": {"data": {"name": "glyphs"}}}  # what parts of search files on a page are part of

DATABASE = "runs/archsieve.db"  # which the first search of a page makes
BELOW = "```\n\n```text\n"  # between Python and what it prints

NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def typed_on(name: str) -> list[str]:
    """The commands of a page whose output it does not show."""
    blocks = fenced((ROOT / name).read_text(encoding="utf-8"))
    return [line for block in blocks if block.kind == "sh" for line in block.commands]


def reason(line: str) -> str | None:
    """Why a command is not run here."""
    return next((why for pattern, why in NOT_HERE.items() if re.match(pattern, line)), None)


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys) -> Iterator[Shell]:
    furnish(tmp_path)
    monkeypatch.chdir(tmp_path)
    modules = set(sys.modules)
    # as for a script in this folder: it may import the modules of its page
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Shell(monkeypatch, capsys)
    torch.set_num_threads(threads)
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def names(code: str, context: type[ast.expr_context]) -> set[str]:
    """The names that Python code assigns (``ast.Store``) or uses (``ast.Load``)."""
    found = (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name))
    return {node.id for node in found if isinstance(node.ctx, context)}


def executed(page: Path, shell: Shell, *, slow: bool) -> str:
    """The page with the outputs that its commands and its Python print now.

    A block of Python that uses a name, or the database, of a block that is left out is left out too.
    """
    text = page.read_text(encoding="utf-8")
    found, pieces, done, missing = fenced(text), [], 0, set()
    for place, block in enumerate(found):
        following = found[place + 1] if place + 1 < len(found) else None
        saved = save(block)
        if block.kind == "python" and not saved:
            too_slow = not slow and page.name not in SEARCHED and TRAINS.search(block.body)
            needs = names(block.body, ast.Load) | set(re.findall(re.escape(DATABASE), block.body))
            if reason(block.body) or too_slow or needs & missing - set(shell.names):
                missing |= names(block.body, ast.Store) | {DATABASE}
                continue
            printed = shell.printed(block.body, page)
            if following and text[block.end : following.start] == BELOW:
                pieces += [text[done : following.start], f"{printed}\n"]
                done = following.end
        elif block.kind == "toml":
            check_toml(block.body, AROUND.get(page.name, {}))
        elif block.kind == "sh":
            typed(block, page, shell, slow=slow)
        elif block.kind == "console":
            pieces += [text[done : block.start], shown(block, shell)]
            done = block.end
    return "".join([*pieces, text[done:]])


def typed(block: Fenced, page: Path, shell: Shell, *, slow: bool) -> None:
    """Run the commands of a block; each must end well."""
    if page.name in SEVERAL_MACHINES:
        check_shell(block.body)
        for line in re.findall(r"archsieve [a-z].*", block.body.replace("\\\n", " ")):
            check_spelling(line.removesuffix("&"))
        return
    for line in block.commands:
        if reason(line) is None and (slow or not SLOW.match(line)):
            code, said = shell.run(line)
            assert code == 0, f"{line}\n{said}"
        elif line.startswith("archsieve "):
            check_spelling(line)


def shown(block: Fenced, shell: Shell) -> str:
    """The block with what its commands print."""
    outputs = [(line, shell.run(line)[1]) for line in block.commands]
    parts = [f"$ {line}\n{output}\n" if output else f"$ {line}\n" for line, output in outputs]
    return "\n".join(parts).replace("\n\n$ export", "\n$ export")


def check(page: Path, shell: Shell, *, slow: bool) -> None:
    """Run a page; what it says must be what is printed."""
    now = executed(page, shell, slow=slow)
    if os.environ.get("ARCHSIEVE_WRITE_DOCS"):
        page.write_text(now, encoding="utf-8")
    assert now == page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_every_block_of_the_page_is_true(name, shell, ray_running):
    check(ROOT / name, shell, slow=False)


def leaves_out(name: str) -> bool:
    """Whether the quick test leaves something of the page to the slow one."""
    page = ROOT / name
    trains = page.name not in SEARCHED and TRAINS.search(page.read_text(encoding="utf-8"))
    typed_slowly = any(SLOW.match(line) and reason(line) is None for line in typed_on(name))
    return page.name not in SEVERAL_MACHINES and bool(trains or typed_slowly)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if leaves_out(name)])
def test_every_block_of_the_page_is_true_those_that_train_too(name, shell, ray_running):
    check(ROOT / name, shell, slow=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_block_says_what_it_is(name):
    kinds = {block.kind for block in fenced((ROOT / name).read_text(encoding="utf-8"))}
    assert kinds <= {*RUN, *TABLE_COLUMNS}, (
        "a block without a kind is not run; name it sh, console, python, toml or text"
    )


@pytest.mark.parametrize("name", NAMES)
def test_commands_in_sentences_are_there(name):
    text = re.sub(r"^```.*?^```$", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for line in re.findall(r"`(archsieve [a-z][^`]*)`", text):
        check_spelling(line)


def test_the_list_of_what_is_not_run_has_nothing_that_is_gone():
    pages = [fenced((ROOT / name).read_text(encoding="utf-8")) for name in NAMES]
    lines = [line for name in NAMES for line in typed_on(name)]
    lines += [block.body for page in pages for block in page if block.kind == "python"]
    for pattern in NOT_HERE:
        assert any(re.match(pattern, line) for line in lines), pattern
    assert set(SEVERAL_MACHINES) <= {Path(name).name for name in NAMES}


def test_the_readme_shows_the_main_job_as_it_is():
    shown_there = [block.body for block in fenced((ROOT / "README.md").read_text()) if block.kind == "toml"]
    assert (ROOT / "examples" / "digits.toml").read_text() == shown_there[0]
