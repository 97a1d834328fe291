"""Soups: the weights of fine-tuned copies of one network, averaged into one network (Wortsman et al. 2022).

An ensemble runs all its networks for each image; a soup is one network with the cost of one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from ...results.database.records import Trial
from ...spaces.architectures.architecture import Architecture
from ...spaces.networks.networks_space import network_name
from ...spaces.parameters.lookup import look_up

if TYPE_CHECKING:
    from ...models.data.dataset import ImageData
    from ...models.export.classifier import ImageModel

Score = Callable[["ImageModel"], tuple[float, float]]
Models = Sequence["ImageModel"]


def check_soup(kind: str, trials: Sequence[Trial]) -> None:
    """Raise ``ValueError`` unless ``kind`` is a key of :data:`SOUPS` and the ``trials`` have the same network."""
    look_up(SOUPS, kind, "soup")
    for other in trials[1:]:
        if other.architecture != trials[0].architecture:
            first, second = (_described(trial) for trial in (trials[0], other))
            raise ValueError(
                f"a soup averages the weights of copies of one network, but {first} and {second} have different "
                "networks; search recipes of one network, lower top, or build an ensemble without soup"
            )


def cook(kind: str, models: Models, data: "ImageData", score: Score) -> "tuple[ImageModel, list[int]]":
    """Return the soup of ``models``, and for each of them 1 if it is in the soup, else 0.

    ``kind`` is a key of :data:`SOUPS`, and the ``score`` of a model is maximised. The temperature of the soup is fitted
    on the validation images. ``about`` of the soup has this calibration alone: seeds, recipes and epochs are those of
    its members.
    """
    from ...models.training.calibration import fit_temperature

    chosen = look_up(SOUPS, kind, "soup")(models, score)
    soup = averaged([models[index] for index in chosen])
    calibration = fit_temperature(soup.scores(data.val.images), data.val.labels)
    about = {"calibration": asdict(calibration)}
    counts = [int(k in chosen) for k in range(len(models))]
    return replace(soup, temperature=calibration.temperature, about=about), counts


def averaged(models: Models) -> "ImageModel":
    """Return the first model with the mean of the weights of all; also running statistics are averaged."""
    from copy import deepcopy

    from ...models.training.ensemble import average_weights

    network = deepcopy(models[0].network)
    network.load_state_dict(average_weights([model.network.state_dict() for model in models]))
    return replace(models[0], network=network)


def _uniform(models: Models, score: Score) -> list[int]:
    return list(range(len(models)))


def _greedy(models: Models, score: Score) -> list[int]:
    """Try the models from the best to the worst; each stays in the soup if the soup does not get worse by it."""
    order = sorted(range(len(models)), key=lambda index: score(models[index]), reverse=True)
    chosen, best = order[:1], score(models[order[0]])
    for index in order[1:]:
        tried = score(averaged([models[k] for k in (*chosen, index)]))
        if tried >= best:
            chosen, best = [*chosen, index], tried
    return sorted(chosen)


SOUPS: Mapping[str, Callable[[Models, Score], list[int]]] = {"uniform": _uniform, "greedy": _greedy}


def _described(trial: Trial) -> str:
    architecture: Any = trial.architecture
    name = network_name(Architecture.from_json(architecture))
    return f"trial {trial.trial}" + (f" ({name})" if name else "")
