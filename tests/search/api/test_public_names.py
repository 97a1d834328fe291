"""The public interface: its names, that importing it is light, and what a wrong name is answered with."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import archsieve as av

ROOT = Path(av.__file__).parent


def test_every_public_name_exists():
    assert sorted(av.__all__) == sorted(["__version__", *av._MODULES])
    for name in av.__all__:
        assert getattr(av, name) is not None
    assert {"run_search", "Space", "Budget", "open_results", "load_model", "ask_tell"} <= set(dir(av))


def test_the_names_for_the_type_checker_are_those_that_are_loaded():
    tree = ast.parse((ROOT / "__init__.py").read_text())
    (checked,) = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {(node.module, alias.name) for node in checked.body for alias in node.names}
    assert typed == {(module, name) for module, names in av._PUBLIC.items() for name in names}


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
    ],
)
def test_a_name_of_another_library_is_answered_with_the_one_here(name, here):
    with pytest.raises(AttributeError, match=rf"'{name}'.*archsieve\.{here}$"):
        getattr(av, name)


def test_names_for_the_same_thing_elsewhere_lead_to_public_names():
    assert set(av._CALLED_ELSEWHERE.values()) <= set(av.__all__)
    assert not set(av._CALLED_ELSEWHERE) & set(av.__all__)
    with pytest.raises(AttributeError, match=r"qqqq.*Budget"):
        av.qqqq  # noqa: B018
    assert not hasattr(av, "__wrapped__")
