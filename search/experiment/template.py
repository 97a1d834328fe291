"""The template: a commented search file for a data set, every key with its default and its meaning."""

import json
import math
from collections.abc import Container
from typing import Any

from pydantic.fields import FieldInfo

from ...models.data.shapes import count_training
from ...spaces.parameters.task_kinds import ZERO_SHOT
from ..config.schema import (
    DataSection,
    LatencySection,
    ResourcesSection,
    SearchFile,
    SearchSection,
    Section,
    SpaceSection,
    ZeroShotSection,
)
from ..tasks.base import Task
from ..tasks.registry import task_of

# What is searched by default.
SEARCHED_ZERO_SHOT = {
    "epochs": "12",
    "form": '["fc", "conv", "fc+conv"]',
    "text": '["tfidf", "tfidf-stop"]',
    "k": "[50, 100]",
    "hidden": "[200, 300]",
    "filters": "[4, 8]",
    "loss": '["bce", "softmax"]',
    "similarity": '"cosine"',
    "calibration": '"posterior"',
    "lr": "{ low = 1e-3, high = 1e-2, log = true }",
}
SEARCHED = {
    "epochs": "12",
    "lr": '{ low = 1e-2, high = 1.0, log = true }  # "auto": the first of 1, 1/2, 1/4, ... that trains',
    "weight_decay": "{ low = 1e-5, high = 1e-2, log = true }",
    "dropout": "[0.0, 0.1, 0.3]",
}
# More data carry more layers and kernels. The classics have 4 (GoogLeNet) to 20 (ResNet-50) parameters a picture of
# ImageNet, ResNet-20 and -56 have 5 to 17 a picture of CIFAR-10.
PARAMS_PER_IMAGE, MACS_PER_PARAM = 10, 100
LEAST_PARAMS = 60_000  # fewer leave a space too little to choose from
LEAST_MACS_PER_PIXEL = 20_000  # of ``mixed`` with so few parameters, nine networks of ten take fewer
# Zero-shot networks by the side of a picture: how many pictures are seen depends on the classes that are.
BUDGETS = ((16, "60k", "6M"), (32, "500k", "50M"), (64, "2M", "200M"))
LARGEST = ("5M", "600M")


def search_file_text(
    data: str, *, path: str | None = None, image_size: int | None = None, texts: str | None = None
) -> str:
    """A search file for ``data`` as text; ``ValueError`` where there is no such data set."""
    section = DataSection(name=data, path=path, image_size=image_size, texts=texts)
    file = SearchFile(data=section)
    task = task_of(file)
    shape = task.describe(file)
    zero_shot = task.name == ZERO_SHOT
    told = "zero-shot" if zero_shot else f"{shape.n_classes} classes"
    sized = "" if zero_shot else SIZED
    if zero_shot:
        params, macs = next(((p, m) for side, p, m in BUDGETS if shape.input_shape[1] <= side), LARGEST)
    else:
        n_train = count_training(data, path=path) * (1 - section.val_fraction)
        params, macs = recommended(n_train, math.prod(shape.input_shape[1:]))
    parts = [
        f'# {data}: pictures {"x".join(map(str, shape.input_shape))}, {told}\nname = "{data}"  # name of the run',
        _table("data", section, ("test_fraction",) if zero_shot else ("texts", "unseen_fraction", "seen", "unseen")),
        "[budget]  # a sieve: nothing outside is ever proposed\n"
        f'params = "{params}"  # trainable parameters{sized}; also activations, memory_bytes, min_params, latency_ms\n'
        f'macs = "{macs}"  # multiply-accumulates of convolutions and linear layers, batch 1',
        SPACE.replace("# stem", f"{_line('features', shape.n_classes, _FEATURES)}\n# stem") if zero_shot else SPACE,
        _recipe(task),
        _table("search", SearchSection()),
        *([_table("zero_shot", ZeroShotSection())] if zero_shot else []),
        _table("latency", LatencySection()),
        _table("resources", ResourcesSection()),
    ]
    return "\n\n".join(parts) + "\n"


_FEATURES = SpaceSection.model_fields["features"]
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


SIZED = f", {PARAMS_PER_IMAGE} a training picture and {LEAST_PARAMS // 1000}k at least"


def recommended(n_train: float, pixels: int) -> tuple[str, str]:
    """The budget of parameters and multiply-accumulates for ``n_train`` pictures of ``pixels``, as a file says it.

    >>> recommended(1_150, 8 * 8), recommended(40_000, 32 * 32), recommended(1_280_000, 224 * 224)
    (('60k', '6M'), ('400k', '40M'), ('13M', '1.3G'))
    >>> recommended(600, 64 * 64)  # few pictures, but large ones: the first layers see every pixel
    ('60k', '82M')
    """
    params = max(LEAST_PARAMS, PARAMS_PER_IMAGE * n_train)
    macs = max(MACS_PER_PARAM * params, LEAST_MACS_PER_PIXEL * pixels)
    return _written(params), _written(macs)


def _written(count: float) -> str:
    """A count to two digits, with its unit."""
    rounded = float(f"{count:.1e}")
    unit, factor = next((unit, factor) for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)) if rounded >= factor)
    return f"{rounded / factor:g}{unit}"


def _table(name: str, section: Section, without: Container[str] = ()) -> str:
    """One table: keys with a value are set, keys without are commented out."""
    keys = {key: field for key, field in type(section).model_fields.items() if key not in without}
    return "\n".join([f"[{name}]", *(_line(key, getattr(section, key), field) for key, field in keys.items())])


def _line(key: str, value: Any, field: FieldInfo) -> str:
    if value is None:
        return f"# {key} = ...  # {field.description}"
    return f"{key} = {json.dumps(value)}  # {field.description}"


def _recipe(task: Task) -> str:
    searched = SEARCHED_ZERO_SHOT if task.name == ZERO_SHOT else SEARCHED
    page = "docs/zero_shot.md" if task.name == ZERO_SHOT else "docs/recipe.md"
    lines = [f"[recipe]  # a value is fixed, a list or a range is searched; each key is explained in {page}"]
    lines += [f"{key} = {value}" for key, value in searched.items()]
    lines += [f"# {key} = {json.dumps(value)}" for key, value in task.recipe().to_json().items() if key not in searched]
    return "\n".join(lines)
