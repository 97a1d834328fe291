"""The teacher of a distillation: a saved model, or a network of timm or torchvision with its published weights."""

from pathlib import Path

import torch
from torch import Tensor

from ...spaces.recipes.recipe import NONE, Recipe, is_model_file, is_trial_name
from ..data.dataset import ImageData
from ..networks.pretrained import pretrained_network
from ..training.distillation import Teacher
from .classifier import ImageModel


class Teachers:
    """The teachers of recipes for the classes of ``data``: each is loaded once, for all trials of a worker."""

    def __init__(self, data: ImageData) -> None:
        self._data = data
        self._loaded: dict[str, Teacher | None] = {}

    def of(self, recipe: Recipe) -> Teacher | None:
        """Return the teacher of ``recipe``; None for a recipe without one. Raises what :func:`load_teacher` raises."""
        name = recipe.effective.teacher
        if name not in self._loaded:
            self._loaded[name] = load_teacher(recipe, self._data)
        return self._loaded[name]


def load_teacher(recipe: Recipe, data: ImageData) -> Teacher | None:
    """Return the teacher of ``recipe`` for the classes of ``data``, on the CPU; None for a recipe without a teacher.

    Raises ``ValueError`` if there is no such model, or if its classes or channels are not those of ``data``.
    """
    name = recipe.effective.teacher
    if name == NONE:
        return None
    if is_trial_name(name):
        raise ValueError(
            f"recipe.teacher may be a trial in a search only, but got {name!r}; save its model, and give the file"
        )
    return _saved(Path(name).expanduser(), data) if is_model_file(name) else _published(name, data)


def _saved(path: Path, data: ImageData) -> Teacher:
    if not path.is_file():
        raise ValueError(
            f"recipe.teacher must be the file of a trained model, or a name such as timm:resnet18, but there is no "
            f"file {path}; correct the path, or save a model first"
        )
    model = ImageModel.load(path)
    channels, *size = model.input.shape
    _check_channels(str(path), channels, data)
    if sorted(model.classes) != sorted(data.classes):
        own = set(data.classes)
        other = [name for name in model.classes if name not in own] or [
            name for name in data.classes if name not in set(model.classes)
        ]
        raise ValueError(
            f"a teacher must have the classes of the data, but {path} has {len(model.classes)} classes, the data have "
            f"{data.n_classes}, and {other[0]!r:.60} is in one of them only; train a teacher on these classes"
        )
    if model.multi_label != data.multi_label:
        raise ValueError(
            f"a teacher must be trained for as many labels an image as the data have, but of {path} and the data one "
            "has several; train a teacher on these images"
        )
    numbers = {name: number for number, name in enumerate(model.classes)}
    order = torch.tensor([numbers[name] for name in data.classes])
    return Teacher(model.network, model.mean, model.std, (size[0], size[1]), order)


def _published(name: str, data: ImageData) -> Teacher:
    if data.multi_label:
        raise ValueError(
            f"a teacher must be trained for as many labels an image as the data have, but {name} is trained for one "
            "and the data have several; train a teacher on these images, and give its file"
        )
    channels = data.input_shape[0]
    network = pretrained_network(name, None, in_channels=channels)
    classes = _n_outputs(network.module, channels, network.preprocessing.size)
    if classes != data.n_classes:
        raise ValueError(
            f"a teacher must have the classes of the data, but {name} has {classes} classes and the data have "
            f"{data.n_classes}; train a teacher on these classes, and give its file"
        )
    published = network.preprocessing
    mean, std, order = torch.tensor(published.mean), torch.tensor(published.std), torch.arange(classes)
    return Teacher(network.module, mean, std, published.size, order, published.interpolation)


@torch.inference_mode()
def _n_outputs(network: torch.nn.Module, channels: int, size: tuple[int, int]) -> int:
    scores: Tensor = network.eval()(torch.zeros(1, channels, *size))
    return scores.shape[1]


def _check_channels(name: str, channels: int, data: ImageData) -> None:
    if channels != data.input_shape[0]:
        raise ValueError(
            f"a teacher must take images of {data.input_shape[0]} channels, but {name} takes {channels}; train a "
            "teacher on these images"
        )
