"""The table of zero-shot methods: every baseline tuned on validation classes, fitted on all seen ones, then tested.

Shapes: as in the table of baselines.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..spaces.lookup import look_up
from .image_data import Split, in_unit_range
from .text import fit_text
from .zero_shot_baselines import BASELINES, Array, Training
from .zero_shot_data import ZeroShotData
from .zero_shot_fit import calibrated
from .zero_shot_metrics import ZeroShotScores, roc_aucs, seen_unseen_curve, zero_shot_scores

COMPONENTS = 128  # of the pixels, for baselines

Vectors = Callable[[Split], Array]


@dataclass(frozen=True)
class Setting:
    """What validation classes chose for a baseline: hyper-parameters, and how its scores are calibrated.

    ``scale`` makes the deviation of its scores 1. ``h`` and ``roc_unseen`` are those on the validation classes.
    """

    values: Mapping[str, Any]
    calibration: str
    scale: float
    gamma: float
    h: float
    roc_unseen: float


def pixel_vectors(data: ZeroShotData) -> Vectors:
    """Principal components of the training pictures' pixels: what baselines see of the same images."""
    from sklearn.decomposition import PCA

    pixels = _flat(data.train)
    pca = PCA(min(COMPONENTS, *pixels.shape), random_state=0, svd_solver="covariance_eigh").fit(pixels)
    return lambda split: np.asarray(pca.transform(_flat(split)), dtype=np.float64)


def choose_setting(name: str, fold: ZeroShotData, vectors: Vectors, *, text: str = "tfidf", seed: int = 0) -> Setting:
    """The setting of baseline ``name`` with the highest calibrated H on the validation classes of ``fold``.

    Gamma is that of highest H; the calibration of highest unseen ROC-AUC, which H does not depend on.
    """
    baseline = look_up(BASELINES, name, "baseline")
    training, texts = _training(fold, vectors, text, seed)
    parts = [vectors(split) for split in (fold.test_seen, fold.test_unseen)]
    return max(
        (_tried(baseline.fit(training, **values), values, fold, parts, texts) for values in _grid(baseline.grid)),
        key=lambda setting: (setting.h, setting.roc_unseen),
    )


def evaluated(
    name: str, data: ZeroShotData, vectors: Vectors, setting: Setting, *, text: str = "tfidf", seed: int = 0
) -> ZeroShotScores:
    """Baseline ``name`` fitted on all seen classes of ``data`` with a setting chosen before, on the test pictures."""
    training, texts = _training(data, vectors, text, seed)
    scorer = look_up(BASELINES, name, "baseline").fit(training, **setting.values)
    seen, unseen = (
        torch.from_numpy(scorer(vectors(split), texts) / setting.scale) for split in (data.test_seen, data.test_unseen)
    )
    return scored(data, seen, unseen, setting.calibration, setting.gamma)


def scored(data: ZeroShotData, seen: Tensor, unseen: Tensor, calibration: str, gamma: float) -> ZeroShotScores:
    """All metrics of scores (N, K) on the test pictures of seen and of unseen classes."""
    return zero_shot_scores(
        (calibrated(seen, calibration), calibrated(unseen, calibration)),
        (data.test_seen.labels, data.test_unseen.labels),
        data.seen,
        data.unseen,
        gamma=gamma,
    )


def _tried(
    scorer: Callable[[Array, Array], Array],
    values: Mapping[str, Any],
    fold: ZeroShotData,
    parts: list[Array],
    texts: Array,
) -> Setting:
    seen, unseen = (torch.from_numpy(scorer(part, texts)) for part in parts)
    scale = float(unseen.std()) or 1.0
    both, labels = torch.cat([seen, unseen]) / scale, torch.cat([fold.test_seen.labels, fold.test_unseen.labels])
    gamma, h = seen_unseen_curve(both, labels, fold.seen, fold.unseen).best
    rocs = {
        calibration: float(
            roc_aucs(calibrated(unseen / scale, calibration), fold.test_unseen.labels, fold.unseen).mean()
        )
        for calibration in ("none", "posterior")
    }
    calibration = max(rocs, key=lambda kind: rocs[kind])
    return Setting(values, calibration, scale, gamma, h, rocs[calibration])


def _training(data: ZeroShotData, vectors: Vectors, text: str, seed: int) -> tuple[Training, Array]:
    """What a baseline learns from, and the texts of all classes; the encoder knows the seen classes alone."""
    encoder = fit_text(text, [data.classes[k] for k in data.seen.tolist()], data.texts_of(data.seen))
    texts = encoder(data.classes, data.texts).double().numpy()
    place = torch.searchsorted(data.seen, data.train.labels)
    return Training(vectors(data.train), place.numpy(), texts[data.seen.numpy()], seed), texts


def _grid(grid: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def _flat(split: Split) -> Array:
    return np.asarray(in_unit_range(split.images).flatten(1).numpy(), dtype=np.float64)
