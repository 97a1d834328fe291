"""The reference pages, written from the code: ``python docs/reference_pages.py``, or ``make reference``."""

import types
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from archsieve.search.cli.main import app
from archsieve.search.config.schema import SearchFile, StageSection
from archsieve.search.config.search_section import RungSection, WarmupSection
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.recipes.recipe import Recipe
from archsieve.spaces.recipes.zero_shot_recipe import ZeroShotRecipe

FOLDER = Path(__file__).resolve().parent / "reference"
WORDS: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    StageSection: "list of tables",
    WarmupSection: "table",
    RungSection: "list of tables",
    dict[str, Any]: "table",
    dict[str, str | list[str]]: "table of texts",
}
EXIT_CODES = {
    0: "done",
    2: "usage, or bad input: nothing was written",
    3: "nothing usable: no trial to show, the trials fail alike, or an image cannot be decoded",
    4: "the machine: a full disk, a GPU that is not there, too few nodes",
    5: "the database",
    6: "refused for safety",
    75: "stopped early, and resumable",
    130: "interrupted twice, and resumable",
}
SIGNS = (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"), ("min_length", "length >="))


def commands_page() -> str:
    """Every command with its arguments and options, from typer."""
    parts = [
        "# Commands",
        "Written from the code by `make reference`. Results go to stdout, progress and messages to stderr.",
        "\n".join([*head("exit code", "meaning"), *(row(str(code), said) for code, said in EXIT_CODES.items())]),
    ]
    for name, command in walk(typer.main.get_command(app), ()):
        said = [line for line in (command.help or "").split("\n\n") if line]
        parts += [f"## archsieve {name}", *(" ".join(line.split()) for line in said)]
        # an old name of an option is hidden
        shown = [given for given in command.params if not getattr(given, "hidden", False)]
        parts.append("\n".join([*head("", "value", "default", ""), *map(parameter, shown)]))
    return "\n\n".join(parts) + "\n"


def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """The names and commands below ``command``, in the order of ``--help``."""
    if not hasattr(command, "commands"):
        yield " ".join(path), command
        return
    for name, inner in command.commands.items():
        yield from walk(inner, (*path, name))


def parameter(given: Any) -> str:
    """The row of an argument or option."""
    argument = type(given).__name__.endswith("Argument")
    names = given.metavar or given.name if argument else ", ".join([*given.opts, *given.secondary_opts])
    value = "" if argument or given.is_flag else given.metavar or value_of(given.type)
    if given.envvar:
        value += f", or `{given.envvar}`"
    if given.multiple if not argument else given.nargs == -1:
        value = f"{value}, again and again" if value else "one or more"
    return row(f"`{names}`", value, default_of(given), given.help or "")


def default_of(given: Any) -> str:
    """What holds where an argument or option is left out."""
    if given.required:
        return "required"
    if isinstance(given.default, bool):
        return f"`{given.opts[0]}`" if given.default else ""
    return "" if given.default in (None, (), "") else f"`{given.default}`"


def value_of(kind: Any) -> str:
    """What an option takes, with its bounds."""
    name = {"int": "whole number", "float": "number", "str": "text"}.get(kind.name.split()[0], kind.name)
    limits = ((">=", getattr(kind, "min", None)), ("<=", getattr(kind, "max", None)))
    return " ".join([name, *(f"{sign} {limit}" for sign, limit in limits if limit is not None)])


def search_file_page() -> str:
    """Every key of a search file, from its pydantic models."""
    parts = [
        "# The search file",
        "Written from the code by `make reference`. A search file is TOML; an unknown key is refused, the nearest one "
        "named. Any key can be set from outside: `archsieve search FILE -s search.trials=5`. `archsieve init` writes "
        "a file with every key explained.",
        section("The file itself", SearchFile),
    ]
    for name, field in SearchFile.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            parts.append(section(f"[{name}]", field.annotation))
        if name == "space":
            parts.append(section("[[space.stages]]", StageSection))
        if name == "search":
            parts.append(section("search.warmup", WarmupSection))
            parts.append(section("[[search.fidelity]]", RungSection))
    parts.append(
        "## [budget]\n\nWhat each limits, and how numbers are written: [budgets](../budgets.md).\n\n"
        + ", ".join(f"`{field.name}`" for field in fields(Budget))
    )
    parts.append(
        "## [recipe]\n\nA value is fixed; a list, or a range such as `{ low = 1e-2, high = 1.0, log = true }`, is "
        "searched. What each key means: [the recipe](../recipe.md).\n\n" + recipe_table("default", Recipe)
    )
    parts.append(
        "Of zero-shot models ([what they mean](../zero_shot.md)):\n\n" + recipe_table("default", ZeroShotRecipe)
    )
    return "\n\n".join(parts) + "\n"


def recipe_table(title: str, recipe: type[Recipe]) -> str:
    """The keys of a recipe with their defaults; of another one than the image recipe only what that has not."""
    known = {} if recipe is Recipe else Recipe().to_json()
    rows = [row(f"`{k}`", toml(v)) for k, v in recipe().to_json().items() if known.get(k) != v or k not in known]
    return "\n".join([*head("key", title), *rows])


def section(title: str, model: type[BaseModel]) -> str:
    """A table of the file: a sentence, and its keys."""
    said = " ".join((model.__doc__ or "").split()).partition(": ")[2]
    rows = [key(name, field) for name, field in model.model_fields.items() if field.description]
    return "\n".join(
        [f"## {title}\n\n{said[:1].upper()}{said[1:]}\n", *head("key", "type", "default", ""), *rows]
    ).replace("\n\n\n", "\n")


def key(name: str, field: FieldInfo) -> str:
    """The row of a key."""
    bounds = [
        f"{sign} {getattr(m, attribute)}" for m in field.metadata for attribute, sign in SIGNS if hasattr(m, attribute)
    ]
    kind = " ".join([spelled(field.annotation), *bounds])
    default = "required" if field.is_required() else "" if field.default is None else toml(field.default)
    return row(f"`{name}`", kind, default, field.description or "")


def spelled(annotation: Any) -> str:
    """A type in words."""
    if annotation in WORDS:
        return WORDS[annotation]
    inner = [part for part in get_args(annotation) if part is not type(None)]
    if get_origin(annotation) is Literal:
        return ", ".join(toml(value) for value in inner)
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(spelled(part) for part in inner)
    if get_origin(annotation) is list:
        return WORDS[inner[0]] if inner[0] in (StageSection, RungSection) else f"list of {spelled(inner[0])}"
    raise TypeError(f"docs/reference_pages.py has no words for {annotation!r}; add them to WORDS")


def toml(value: Any) -> str:
    """A default as the file writes it."""
    said = str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)
    return f"`{said}`"


def head(*titles: str) -> list[str]:
    """The first two lines of a table."""
    return [row(*titles), "|" + "---|" * len(titles)]


def row(*cells: str) -> str:
    """A line of a table."""
    return "| " + " | ".join(cell.replace("|", " or ") for cell in cells) + " |"


PAGES = {"commands.md": commands_page, "search_file.md": search_file_page}

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for page, written in PAGES.items():
        (FOLDER / page).write_text(written(), encoding="utf-8")
