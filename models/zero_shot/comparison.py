"""Comparison of zero-shot methods: tune each baseline on validation classes, fit it on all seen classes, test it.

Shapes: as in ``baselines.py``.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...spaces.parameters.lookup import look_up
from ...spaces.recipes.zero_shot_recipe import CALIBRATIONS
from ..data.dataset import Split, in_unit_range
from ..data.text_features import fit_text
from ..data.zero_shot import ZeroShotData
from ..storage.images import Images
from .baselines import BASELINES, Array, Scorer, TrainingData
from .metrics import ZeroShotScores, roc_aucs, seen_unseen_curve, zero_shot_scores
from .trainer import calibrated

COMPONENTS = 128  # principal components of the pixels, the image vectors of the baselines
# Sides above are averaged down first: the first 128 components describe coarse shapes, and the covariance of all pixels
# of a photograph of 224 x 224 would take 169 GB.
MAX_SIDE = 32
MAX_VALUES = 16  # of one hyper-parameter of a baseline
BATCH_SIZE = 512  # images that are read together
MAX_FIT_BYTES = 256 * 2**20  # of the pixels that the components are fitted on

Vectors = Callable[[Split], Array]


@dataclass(frozen=True)
class Setting:
    """The setting of a baseline that is best on the validation classes.

    ``values`` are hyper-parameters. ``scale`` is the standard deviation of the scores, by which they are divided.
    ``calibration`` and ``gamma`` are applied to the scaled scores. ``h`` and ``roc_unseen`` are the metrics on the
    validation classes. ``extended`` names the hyper-parameters whose grid was extended, because a value at its edge was
    the best.
    """

    values: Mapping[str, Any]
    calibration: str
    scale: float
    gamma: float
    h: float
    roc_unseen: float
    extended: tuple[str, ...] = ()


def pixel_vectors(data: ZeroShotData) -> Vectors:
    """Return a function that maps a split to image vectors (N, d): principal components fitted on training pixels.

    Images are averaged to at most 32 x 32 pixels, and the components are fitted on as many evenly spaced training
    images as 256 MB hold, so that the memory is bounded.
    """
    from sklearn.decomposition import PCA

    channels, *sides = data.input_shape
    n_fit = max(1, MAX_FIT_BYTES // (8 * channels * prod(min(side, MAX_SIDE) for side in sides)))
    step = -(-len(data.train) // n_fit)  # rounded up
    fitted = np.concatenate([_pixels(batch) for batch in _batches(data.train.images, step)])
    # fitted on the training images only; an exact solver makes the vectors reproducible
    solver = "covariance_eigh" if len(fitted) >= fitted.shape[1] else "full"  # of the smaller of two matrices
    pca = PCA(min(COMPONENTS, *fitted.shape), random_state=0, svd_solver=solver).fit(fitted)
    return lambda split: np.concatenate(
        [np.asarray(pca.transform(_pixels(batch)), dtype=np.float64) for batch in _batches(split.images)]
    )


def image_vectors(split: Split) -> Array:
    """Return the vectors (N, F) of a split whose images are vectors (N, F, 1, 1), such as those of a backbone."""
    return np.asarray(split.images[:].flatten(1).numpy(), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class BaselineInputs:
    """The baselines' view of ``data``: training data, texts of all classes (K, p), vectors of both test splits (M, d).

    ``tests`` has the vectors of seen classes first, then those of unseen classes.
    """

    data: ZeroShotData
    training: TrainingData
    texts: Array
    tests: tuple[Array, Array]

    @classmethod
    def of(cls, data: ZeroShotData, vectors: Vectors, *, text: str = "tfidf", seed: int = 0) -> "BaselineInputs":
        """Create the view with image vectors by ``vectors``; the text encoder is fitted on the seen classes only."""
        encoder = fit_text(text, [data.classes[k] for k in data.seen.tolist()], data.texts_of(data.seen))
        texts = encoder(data.classes, data.texts).double().numpy()
        class_index = torch.searchsorted(data.seen, data.train.labels)
        training = TrainingData(vectors(data.train), class_index.numpy(), texts[data.seen.numpy()], seed)
        return cls(data, training, texts, (vectors(data.test_seen), vectors(data.test_unseen)))


def choose_setting(name: str, fold: BaselineInputs, **fixed: Any) -> Setting:
    """Return the setting of baseline ``name`` with the highest calibrated H on the validation classes of ``fold``.

    If it is at an edge of its grid, the grid is extended. Gamma maximises H. The calibration maximises the ROC-AUC of
    unseen classes, because H does not depend on it. ``fixed`` are hyper-parameters that are set and not searched.
    """
    baseline = look_up(BASELINES, name, "baseline")
    grid: dict[str, list[Any]] = {name: sorted(values) for name, values in baseline.grid.items() if name not in fixed}
    extended: set[str] = set()
    known: dict[tuple[Any, ...], Setting] = {}
    while True:
        for values in _grid(grid):
            if (key := tuple(values.values())) not in known:
                known[key] = _setting_for(baseline.fit(fold.training, **values, **fixed), {**values, **fixed}, fold)
        best = max(known.values(), key=lambda setting: (setting.h, setting.roc_unseen))
        edges = _edges(grid, best, {key: setting.h for key, setting in known.items()})
        if not edges:
            return replace(best, extended=tuple(sorted(extended)))
        for parameter, value in edges.items():
            grid[parameter] = sorted([*grid[parameter], value])
            extended.add(parameter)


def _edges(grid: Mapping[str, list[float]], best: Setting, known: Mapping[tuple[Any, ...], float]) -> dict[str, float]:
    """Return the next value of each hyper-parameter whose ``best`` value is at an edge of its ``grid``.

    A grid ends where the value at its edge is no better than its neighbour: there H does not depend on it any more. It
    has at most ``MAX_VALUES`` values.
    """
    edges, position = {}, {name: k for k, name in enumerate(grid)}
    key = [best.values[name] for name in grid]
    for name, values in grid.items():
        if len(values) < 2 or len(values) >= MAX_VALUES or best.values[name] not in (values[0], values[-1]):
            continue
        edge, neighbour = (values[0], values[1]) if best.values[name] == values[0] else (values[-1], values[-2])
        adjacent = tuple(neighbour if k == position[name] else value for k, value in enumerate(key))
        if best.h > known[adjacent]:
            edges[name] = edge * edge / neighbour  # the values are evenly spaced on a logarithmic scale
    return edges


def evaluate_baseline(name: str, entrant: BaselineInputs, setting: Setting) -> ZeroShotScores:
    """Fit baseline ``name`` with ``setting`` on all seen classes, and return its metrics on the test images."""
    scorer = look_up(BASELINES, name, "baseline").fit(entrant.training, **setting.values)
    seen, unseen = (torch.from_numpy(scorer(part, entrant.texts) / setting.scale) for part in entrant.tests)
    return metrics_of_scores(entrant.data, seen, unseen, setting.calibration, setting.gamma)


def metrics_of_scores(
    data: ZeroShotData, seen: Tensor, unseen: Tensor, calibration: str, gamma: float
) -> ZeroShotScores:
    """Return all metrics of calibrated scores (N, K) on the test images of seen and of unseen classes."""
    return zero_shot_scores(
        (calibrated(seen, calibration), calibrated(unseen, calibration)),
        (data.test_seen.labels, data.test_unseen.labels),
        data.seen,
        data.unseen,
        gamma=gamma,
    )


def _setting_for(scorer: Scorer, values: Mapping[str, Any], fold: BaselineInputs) -> Setting:
    """Return the setting with ``values``, and the scale, gamma and calibration that are best for ``scorer``."""
    data = fold.data
    seen, unseen = (torch.from_numpy(scorer(part, fold.texts)) for part in fold.tests)
    # baselines have scores of very different size, and the posterior calibration depends on the size
    scale = float(unseen.std()) or 1.0
    both, labels = torch.cat([seen, unseen]) / scale, torch.cat([data.test_seen.labels, data.test_unseen.labels])
    gamma, h = seen_unseen_curve(both, labels, data.seen, data.unseen).best
    rocs = {
        calibration: float(
            roc_aucs(calibrated(unseen / scale, calibration), data.test_unseen.labels, data.unseen).mean()
        )
        for calibration in CALIBRATIONS
    }
    calibration = max(rocs, key=lambda kind: rocs[kind])
    return Setting(values, calibration, scale, gamma, h, rocs[calibration])


def _grid(grid: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Yield every combination of the hyper-parameter values."""
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def _batches(images: Images, step: int = 1) -> Iterator[Tensor]:
    """Yield every ``step``-th image, some at a time."""
    for index in torch.split(torch.arange(0, len(images), step), BATCH_SIZE):
        yield images[index]


def _pixels(images: Tensor) -> Array:
    """Return the pixels (B, C * H * W) in [0, 1] of images, which are averaged if a side is longer than 32."""
    pixels = in_unit_range(images)
    height, width = images.shape[2:]
    sides = min(height, MAX_SIDE), min(width, MAX_SIDE)
    if (height, width) != sides:
        pixels = F.adaptive_avg_pool2d(pixels, sides)
    return np.asarray(pixels.flatten(1).numpy(), dtype=np.float64)
