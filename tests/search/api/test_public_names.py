"""The public interface: its names, that importing it is light, and what a wrong name is answered with."""

import ast
import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import archsieve as av

from ...docs.pages import PAGES, fenced

ROOT = Path(av.__file__).parent
# These import other modules: the page says that the class is not public yet, and the study compares parts of training.
NOT_PUBLIC = {"docs/zero_shot.md", "examples/studies.py"}


def test_every_public_name_exists():
    assert dir(av) == sorted(av.__all__)
    for name in (*av.__all__, *av._MODULES):
        assert getattr(av, name) is not None
    grouped = {*av.blocks.__all__, *av.errors.__all__}
    assert {name: getattr(av, name) for name in av.blocks.__all__} == {
        name: getattr(av.blocks, name) for name in av.blocks.__all__
    }
    assert {"Conv", "Fire", "GlobalAverage"} < set(av.blocks.__all__)
    assert all(issubclass(getattr(av.errors, name), Exception) for name in av.errors.__all__)
    # a name is called, in a group, or the type of what a function gets or returns
    types = import_module("archsieve.search.api.type_names").__all__
    assert {*av._MODULES} == {*av.__all__, *grouped, *types} - {"__version__", *av._GROUPS}
    assert not {*types, *grouped} & {*av.__all__}
    assert len(av.__all__) <= 40


def test_the_page_of_names_lists_all_of_them():
    page = (ROOT / "docs" / "python.md").read_text()
    missing = [name for name in (*av.__all__, *av._MODULES) if not re.search(rf"\b{name}\b", page)]
    assert missing == []
    assert f"{len(av.__all__)} names" in page


def test_the_names_for_the_type_checker_are_those_that_are_loaded():
    tree = ast.parse((ROOT / "__init__.py").read_text())
    (checked,) = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {alias.name for node in checked.body for alias in node.names}
    stars = [import_module(f"archsieve.{node.module}") for node in checked.body if node.names[0].name == "*"]
    names = {module.rpartition(".")[2] for module in av._GROUPS.values()} | set(av._MODULES)
    assert typed | {name for module in stars for name in module.__all__} == {*names, "*"}


def test_importing_the_package_imports_nothing_heavy():
    program = "import sys, archsieve; print(sorted({name.split('.')[0] for name in sys.modules}))"
    result = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    loaded = set(ast.literal_eval(result.stdout))
    assert not loaded & {"torch", "ray", "numpy", "pandas", "sqlalchemy", "pydantic", "typer", "rich"}


@pytest.mark.parametrize(
    ("name", "here"),
    [
        ("create_study", "run_search"),  # Optuna
        ("load_study", "open_results"),
        ("suggest_categorical", "choice"),
        ("Tuner", "run_search"),  # Ray Tune
        ("loguniform", "Range"),
        ("grid_search", "choice"),
        ("HyperParameters", "Space"),  # KerasTuner
        ("BayesianOptimization", "run_search"),
        ("create_model", "load_model"),  # timm
        ("register_model", "register_block"),
        ("GridSearchCV", "run_search"),  # scikit-learn
        ("fit", "run_search"),
        ("Study", "open_results"),
        ("TuneConfig", "run_search"),
        ("RandomSearch", "run_search"),
        ("list_models", "profile"),
        ("get_model", "load_model"),
        ("tune", "run_search"),
        ("trial", "Trial"),
        ("VotingClassifier", "ensemble"),
        ("import_study", "import_trials"),
        ("Callbacks", "Callback"),
        ("open_result", "open_results"),
        ("Architectures", "Architecture"),
        ("run_serch", "run_search"),  # a slip
        ("conv", "Conv"),
        ("report", "TrainingJob"),  # Ray Tune
    ],
)
def test_a_name_of_another_library_is_answered_with_the_one_here(name, here):
    with pytest.raises(AttributeError, match=rf"'{name}'.*archsieve\.{here}$"):
        getattr(av, name)


def test_names_for_the_same_thing_elsewhere_lead_to_public_names():
    assert set(av._CALLED_ELSEWHERE.values()) <= set(av._MODULES)
    assert not set(av._CALLED_ELSEWHERE) & {*av.__all__, *av._MODULES}
    with pytest.raises(AttributeError, match=r"qqqq.*Budget"):
        av.qqqq  # noqa: B018
    assert not hasattr(av, "__wrapped__")


def python_of_readers():
    """Yield the Python of the pages, the examples and the notebook, with the name of its file."""
    for page in PAGES:
        yield from ((page, block.body) for block in fenced(page.read_text()) if block.kind == "python")
    for example in (ROOT / "examples").glob("*.py"):
        yield example, example.read_text()
    for notebook in (ROOT / "examples").glob("*.ipynb"):
        cells = json.loads(notebook.read_text())["cells"]
        yield from ((notebook, "".join(cell["source"])) for cell in cells if cell["cell_type"] == "code")


def test_pages_examples_and_notebook_import_the_public_interface_alone():
    others, n_files = set(), set()
    for file, code in python_of_readers():
        for node in ast.walk(ast.parse(code)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            if any(name.startswith("archsieve") for name in names):
                n_files.add(file)
            if any(name.startswith("archsieve.") for name in names):
                others.add(file.relative_to(ROOT).as_posix())
    assert others == NOT_PUBLIC
    assert len(n_files) > 20
