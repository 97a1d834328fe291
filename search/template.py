"""The template: a commented search file for a data set, every key with its default and its meaning."""

import json
from typing import Any

from pydantic.fields import FieldInfo

from ..models.data_shapes import describe_data
from ..spaces.recipe import Recipe
from .sections import DataSection, LatencySection, ResourcesSection, SearchSection, Section

# What is searched by default, and budgets that fit the pictures.
SEARCHED = {
    "epochs": "12",
    "lr": '{ low = 1e-2, high = 1.0, log = true }  # "auto": the first of 1, 1/2, 1/4, ... that trains',
    "weight_decay": "{ low = 1e-5, high = 1e-2, log = true }",
    "dropout": "[0.0, 0.1, 0.3]",
}
BUDGETS = ((16, "60k", "6M"), (32, "500k", "50M"), (64, "2M", "200M"))
LARGEST = ("5M", "600M")


def search_file_text(data: str, *, path: str | None = None, image_size: int | None = None) -> str:
    """A search file for ``data`` as text; ``ValueError`` where there is no such data set."""
    shape = describe_data(data, path=path, image_size=image_size)
    section = DataSection(name=data, path=path, image_size=image_size)
    params, macs = next(((p, m) for side, p, m in BUDGETS if shape.input_shape[1] <= side), LARGEST)
    parts = [
        f"# {data}: pictures {'x'.join(map(str, shape.input_shape))}, {shape.n_classes} classes\n"
        f'name = "{data}"  # name of the run',
        _table("data", section),
        "[budget]  # a sieve: nothing outside is ever proposed\n"
        f'params = "{params}"  # trainable parameters; also activations, memory_bytes, min_params, latency_ms\n'
        f'macs = "{macs}"  # multiply-accumulates of convolutions and linear layers, batch 1',
        SPACE,
        _recipe(),
        _table("search", SearchSection()),
        _table("latency", LatencySection()),
        _table("resources", ResourcesSection()),
    ]
    return "\n\n".join(parts) + "\n"


SPACE = """[space]
name = "mixed"  # a space of the catalogue, or the stages written out:
# contrast = [false, true]  # local contrast normalisation of the picture
# stem = [8, 16]  # channels of a first 3x3 convolution
# [[space.stages]]
# block = ["conv-pool", "residual", "inception"]
# depth = [1, 2, 3]
# width = [16, 24, 32, 48, 64]
# kernel = [3, 5]
# halve = true"""


def _table(name: str, section: Section) -> str:
    """One table: keys with a value are set, keys without are commented out."""
    return "\n".join(
        [f"[{name}]", *(_line(key, getattr(section, key), f) for key, f in type(section).model_fields.items())]
    )


def _line(key: str, value: Any, field: FieldInfo) -> str:
    if value is None:
        return f"# {key} = ...  # {field.description}"
    return f"{key} = {json.dumps(value)}  # {field.description}"


def _recipe() -> str:
    lines = ["[recipe]  # a value is fixed, a list or a range is searched; each key is explained in docs/recipe.md"]
    lines += [f"{key} = {value}" for key, value in SEARCHED.items()]
    lines += [f"# {key} = {json.dumps(value)}" for key, value in Recipe().to_json().items() if key not in SEARCHED]
    return "\n".join(lines)
