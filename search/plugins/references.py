"""Functions of the user by reference, ``MODULE:NAME``: those of ``[train]`` in a search file.

A function of a module is imported where it is needed. One of a script or a notebook has the module ``__main__``: it is
remembered here when it is passed to a search, and travels to the workers as a pickled function.
"""

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from ...spaces.parameters.lookup import unknown
from ...spaces.parameters.user_code import PluginError
from ..config.train_section import TrainSection
from .loading import MAIN, import_plugin

if TYPE_CHECKING:
    from ...models.optimization.custom_parts import CustomParts

ARGUMENTS = {"function": ("job",), "loss": ("logits", "labels"), "optimizer": ("groups", "recipe")}
_FUNCTIONS: dict[str, Callable[..., Any]] = {}  # by reference


def reference_to(function: Callable[..., Any], key: str) -> str:
    """Remember ``function`` and return its reference.

    Raises ``ValueError`` for a function that another process cannot look up by its name: a lambda, a function inside
    another function, or a method of an object.
    """
    name, module = getattr(function, "__qualname__", None), getattr(function, "__module__", None)
    if name is None or _attribute(sys.modules.get(str(module)), name) != function:
        raise ValueError(
            f"{key} must be a function that a resumed run finds again by its name, but got {name or function!r}; "
            "define it with def at the top level of a module or script"
        )
    reference = f"{module}:{name}"
    _FUNCTIONS[reference] = function
    return reference


def resolve(reference: str, key: str, arguments: tuple[str, ...]) -> Callable[..., Any]:
    """Return the function of ``reference``, which must take positional ``arguments``.

    Raises :class:`PluginError` if there is no such function, or if it has another signature.
    """
    module, name = split_reference(reference, key)
    function = _FUNCTIONS.get(reference)
    if function is None:
        function = _FUNCTIONS[reference] = _find(module, name, key)
    _check_signature(function, reference, key, arguments)
    return function


def custom_parts(train: TrainSection) -> "CustomParts":
    """Return the functions of ``[train]``; raise :class:`PluginError` for one that cannot be found or called."""
    from ...models.optimization.custom_parts import CustomParts

    found = {}
    for key, reference in train.references.items():
        name = key.removeprefix("train.")
        found[name] = resolve(reference, key, ARGUMENTS[name])
    return CustomParts(**found)


def split_reference(reference: str, key: str) -> tuple[str, str]:
    """Return module and name of a reference; raise :class:`PluginError` if it is not one."""
    module, colon, name = reference.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        raise PluginError(
            f"{key} must be MODULE:NAME, as in 'my_module:train', but got {reference!r}; write the module without .py"
        )
    return module, name


def functions_of_scripts(references: Mapping[str, str]) -> dict[str, Callable[..., Any]]:
    """Return the functions of ``references`` (key -> reference) that a script or notebook has defined, by reference."""
    found = {}
    for key, reference in references.items():
        module, name = split_reference(reference, key)
        if module == MAIN:
            function = _FUNCTIONS.get(reference) or _attribute(sys.modules.get(MAIN), name)
            if function is not None:
                found[reference] = _FUNCTIONS[reference] = function
    return found


def remember(functions: Mapping[str, Callable[..., Any]]) -> None:
    """Remember functions by reference, on a worker that has received them."""
    _FUNCTIONS.update(functions)


def forget(modules: set[str]) -> None:
    """Forget the functions of top-level ``modules``, which are imported again."""
    for reference in [one for one in _FUNCTIONS if one.partition(":")[0].partition(".")[0] in modules]:
        del _FUNCTIONS[reference]


def _find(module: str, name: str, key: str) -> Callable[..., Any]:
    if module == MAIN:
        raise PluginError(
            f"{key} is the function {name} of a script or notebook, which is not defined here; define it again before "
            "av.resume_search or av.train, or start a new run with a function of a module"
        )
    try:
        loaded = import_plugin(module)
    except PluginError as error:
        raise PluginError(f"{key}: {error}") from error.__cause__
    function = _attribute(loaded, name)
    if function is None:
        names = [one for one, value in vars(loaded).items() if callable(value) and not one.startswith("_")]
        raise PluginError(f"{key}: {unknown(f'function of {module}', name, names)}")
    return cast("Callable[..., Any]", function)


def _attribute(module: Any, name: str) -> Any:
    for part in name.split("."):
        module = getattr(module, part, None)
    return module


def _check_signature(function: Any, reference: str, key: str, arguments: tuple[str, ...]) -> None:
    call = f"({', '.join(arguments)})"
    if not callable(function):
        raise PluginError(f"{key} must be a function of {call}, but {reference} is {type(function).__name__}; name one")
    if inspect.isclass(function) and key != "train.optimizer":  # a call returns an object of the class
        raise PluginError(f"{key} must be a function of {call}, but {reference} is a class; write a function with def")
    try:
        signature = inspect.signature(function)
    except ValueError:  # some functions in C have none
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        code = getattr(function, "__code__", None)
        line = "" if code is None else f" at {code.co_filename}:{code.co_firstlineno}"
        raise PluginError(
            f"{key} must be a function of {call}, but {reference} has {signature}{line}; correct its parameters"
        ) from None
