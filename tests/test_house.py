"""The house rules: who may import whom, what is packaged, how long things are."""

import ast
import tomllib
from collections.abc import Iterator
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
LIGHT = ("spaces", "results")  # the command line starts with these: nothing heavy when they are imported
HEAVY = {"torch", "torchvision", "timm", "ray", "optuna", "sklearn", "pandas", "plotly", "matplotlib"}
FILES = sorted(path for folder in MAY_IMPORT for path in (ROOT / folder).rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 300, 50

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))


def imports(path: Path, nodes: Iterator[ast.AST]) -> Iterator[str]:
    """The full names of the modules that ``nodes`` import."""
    package = ("archsieve", *path.relative_to(ROOT).parent.parts)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def on_import(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: not those in functions, nor those for the type checker."""
    for node in ast.iter_child_nodes(tree):
        checked_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not checked_only:
            yield node
            yield from on_import(node)


@every_file
def test_imports_follow_the_arrows(path):
    folder = path.relative_to(ROOT).parts[0]
    for name in imports(path, ast.walk(ast.parse(path.read_text()))):
        owner, *rest = name.split(".")
        if owner == "archsieve" and rest and rest[0] in MAY_IMPORT:
            assert rest[0] in MAY_IMPORT[folder], f"{path} imports {name}: {folder} may not know {rest[0]}"


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.relative_to(ROOT).parts[0] in LIGHT],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_light_folders_import_nothing_heavy(path):
    heavy = {name.split(".")[0] for name in imports(path, on_import(ast.parse(path.read_text())))} & HEAVY
    assert not heavy, f"{path} imports {heavy} at its top; move the import into the function that needs it"


def test_every_folder_is_packaged_and_nothing_else():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {path.parent.relative_to(ROOT) for path in FILES}
    assert sorted(listed) == sorted({"archsieve", *(".".join(("archsieve", *folder.parts)) for folder in folders)})


def test_every_folder_says_its_sentence():
    for folder in {path.parent for path in FILES}:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder


def test_no_other_module_lies_at_the_root():
    assert sorted(path.name for path in ROOT.glob("*.py")) == ["__init__.py", "__main__.py"]


@every_file
def test_a_file_opens_with_a_docstring_of_one_line(path):
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring, f"{path} needs a docstring"
    assert docstring.splitlines()[0].endswith("."), f"{path}: the first line of the docstring is a sentence"


@every_file
def test_files_and_functions_are_short(path):
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST_FILE, f"{path} is too long; cut it in two"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{path}: {node.name} has {length} lines"


@pytest.mark.parametrize("name", ["utils", "helpers", "common", "constants"])
def test_no_drawer_for_odds_and_ends(name):
    assert not [path for path in FILES if path.stem == name]


def test_the_walk_over_imports_sees_what_it_should():
    tree = ast.parse(
        "import torch\nfrom ..models.build import build\ntry:\n    import ray\nfinally:\n    pass\n"
        "if TYPE_CHECKING:\n    import pandas\ndef late():\n    import plotly\n"
    )
    assert list(imports(ROOT / "spaces" / "x.py", on_import(tree))) == [
        "torch",
        "archsieve.models.build.build",
        "ray",
    ]
