"""The layout of the package: which sub-package may import which, what is packaged, how long files are.

The order of the sub-packages is the table of CONTRIBUTING.md, lowest first: a sub-package imports only from those
above it in the table. Imports inside functions and those for the type checker count as well.
"""

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import archsieve

ROOT = Path(archsieve.__file__).resolve().parent
MAY_IMPORT = {
    "spaces": {"spaces"},
    "models": {"models", "spaces"},
    "results": {"results", "spaces"},
    "search": {"search", "spaces", "models", "results"},
}
LIGHT = ("spaces", "results")  # the command line imports them at its start: nothing heavy at the top of their files
HEAVY = {
    *("torch", "torchvision", "timm", "ray", "optuna", "sklearn", "scipy", "pandas", "pyarrow"),
    *("plotly", "matplotlib", "jinja2", "lark"),
}
# their code runs in the tests of the sub-packages that use them
WITHOUT_OWN_TESTS = {"results/migrations", "search/config"}
FILES = sorted(path for folder in MAY_IMPORT for path in (ROOT / folder).rglob("*.py"))
SUBPACKAGES = re.findall(r"^\| `([a-z_]+/[a-z_]+)/` \| (.+?) \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_FILES_IN_FOLDER = 400, 50, 25


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    """The module in ``path``, as ``spaces.blocks.base``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The full names that ``nodes`` of the file ``path`` import."""
    package = ("archsieve", *path.relative_to(ROOT).parent.parts)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def at_import(module: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: not those in functions, nor those for the type checker."""
    for node in ast.iter_child_nodes(module):
        checked_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not checked_only:
            yield node
            yield from at_import(node)


def module_graph(files: dict[str, set[str]]) -> dict[str, set[str]]:
    """For each module the modules of the package that it imports, from the full names that it imports."""
    graph: dict[str, set[str]] = {}
    for module, names in files.items():
        inside = (name.removeprefix("archsieve.") for name in names if name.startswith("archsieve."))
        found = (name if name in files else name.rpartition(".")[0] for name in inside)
        graph[module] = {other for other in found if other in files and other != module}
    return graph


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    return module_graph({name_of(path): set(imports(path, ast.walk(tree(path)))) for path in FILES})


def upward(graph: dict[str, set[str]], order: list[str]) -> list[str]:
    """The imports from a sub-package that stands later in ``order``."""
    rank = {name.replace("/", "."): place for place, name in enumerate(order)}

    def of(module: str) -> int | None:
        return rank.get(".".join(module.split(".")[:2]))

    pairs = [(module, other) for module, others in graph.items() for other in others]
    known = [pair for pair in pairs if None not in map(of, pair)]  # all but the four folders themselves
    return [f"{module} imports {other}" for module, other in known if of(other) > of(module)]


def test_every_subpackage_is_in_the_table():
    folders = {path.parent.relative_to(ROOT).as_posix() for path in FILES}
    assert sorted(name for name, _ in SUBPACKAGES) == sorted(folders - set(MAY_IMPORT))


def test_the_four_folders_hold_only_subpackages():
    assert [path for path in FILES if path.parent.name in MAY_IMPORT and path.name != "__init__.py"] == []


def test_the_table_holds_the_docstrings_of_the_subpackages():
    docstrings = {name: ast.get_docstring(tree(ROOT / name / "__init__.py")).splitlines()[0] for name, _ in SUBPACKAGES}
    assert dict(SUBPACKAGES) == docstrings


def test_folders_import_only_what_they_may(graph):
    pairs = [(module, other) for module, others in graph.items() for other in others]
    assert [f"{m} imports {o}" for m, o in pairs if o.split(".")[0] not in MAY_IMPORT[m.split(".")[0]]] == []


def test_subpackages_import_only_downwards(graph):
    assert upward(graph, [name for name, _ in SUBPACKAGES]) == []


def test_no_file_is_in_an_import_cycle(graph):
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_cycles_and_upward_imports_are_seen():
    files = {"spaces.a.x": {"archsieve.spaces.b.y.f"}, "spaces.b.y": {"archsieve.spaces.a.x", "torch"}}
    found = module_graph(files)
    assert found == {"spaces.a.x": {"spaces.b.y"}, "spaces.b.y": {"spaces.a.x"}}
    assert upward(found, ["spaces/a", "spaces/b"]) == ["spaces.a.x imports spaces.b.y"]
    with pytest.raises(CycleError):
        TopologicalSorter(found).prepare()


def test_light_folders_import_nothing_heavy():
    light = [path for path in FILES if path.relative_to(ROOT).parts[0] in LIGHT]
    heavy = {name_of(path): {n.split(".")[0] for n in imports(path, at_import(tree(path)))} & HEAVY for path in light}
    assert {name: found for name, found in heavy.items() if found} == {}, "move the import into the function"


def test_the_walk_over_imports_sees_what_it_should():
    module = ast.parse(
        "import torch\nfrom ..models.build import build\ntry:\n    import ray\nfinally:\n    pass\n"
        "if TYPE_CHECKING:\n    import pandas\ndef late():\n    import plotly\n"
    )
    assert list(imports(ROOT / "spaces" / "x.py", at_import(module))) == [
        "torch",
        "archsieve.models.build.build",
        "ray",
    ]
    everything = list(imports(ROOT / "spaces" / "x.py", ast.walk(module)))
    assert {"pandas", "plotly"} <= set(everything)


def test_every_folder_is_packaged_and_nothing_else():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {path.parent.relative_to(ROOT) for path in FILES}
    assert sorted(listed) == sorted({"archsieve", *(".".join(("archsieve", *folder.parts)) for folder in folders)})


def test_no_other_module_is_at_the_root():
    assert sorted(path.name for path in ROOT.glob("*.py")) == ["__init__.py", "__main__.py"]


def test_every_file_begins_with_a_sentence():
    first = {name_of(path): (ast.get_docstring(tree(path)) or "").partition("\n")[0] for path in FILES}
    assert [name for name, line in first.items() if not line.endswith(".")] == []


def test_files_are_short():
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES} == {}


def test_functions_are_short():
    functions = [
        (f"{name_of(path)}.{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1)
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert [found for found in functions if found[1] > MAX_FUNCTION_LINES] == []


def test_folders_are_small():
    tests = list((ROOT / "tests").rglob("*.py"))
    folders = [path.parent for path in (*FILES, *tests)]
    assert {str(f.relative_to(ROOT)) for f in folders if folders.count(f) > MAX_FILES_IN_FOLDER} == set()


def test_tests_mirror_the_folders():
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").glob("*/*/test_*.py")}
    mirrored = {folder.as_posix() for folder in folders if folder.parts[0] in MAY_IMPORT}
    assert mirrored == {name for name, _ in SUBPACKAGES} - WITHOUT_OWN_TESTS


def test_no_file_is_named_for_odds_and_ends():
    assert [name_of(path) for path in FILES if path.stem in ("utils", "helpers", "common", "constants")] == []
