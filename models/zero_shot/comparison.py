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

from ...spaces.parameters.lookup import look_up
from ...spaces.recipes.zero_shot_recipe import CALIBRATIONS
from ..data.dataset import Split, in_unit_range
from ..data.text_features import fit_text
from ..data.zero_shot import ZeroShotData
from .baselines import BASELINES, Array, Scorer, Training
from .metrics import ZeroShotScores, roc_aucs, seen_unseen_curve, zero_shot_scores
from .trainer import calibrated

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


@dataclass(frozen=True, eq=False)
class Entrant:
    """What baselines see of ``data``: a training, the texts of all classes (K, p), the vectors of both tests (M, d)."""

    data: ZeroShotData
    training: Training
    texts: Array
    tests: tuple[Array, Array]

    @classmethod
    def of(cls, data: ZeroShotData, vectors: Vectors, *, text: str = "tfidf", seed: int = 0) -> "Entrant":
        """``data`` by its ``vectors``; the text encoder knows the seen classes alone."""
        encoder = fit_text(text, [data.classes[k] for k in data.seen.tolist()], data.texts_of(data.seen))
        texts = encoder(data.classes, data.texts).double().numpy()
        place = torch.searchsorted(data.seen, data.train.labels)
        training = Training(vectors(data.train), place.numpy(), texts[data.seen.numpy()], seed)
        return cls(data, training, texts, (vectors(data.test_seen), vectors(data.test_unseen)))


def choose_setting(name: str, fold: Entrant, **fixed: Any) -> Setting:
    """The setting of baseline ``name`` with the highest calibrated H on the validation classes of ``fold``.

    Gamma is that of highest H; the calibration of highest unseen ROC-AUC, which H does not depend on. ``fixed`` are
    values that are not chosen.
    """
    baseline = look_up(BASELINES, name, "baseline")
    values = [{**chosen, **fixed} for chosen in _grid(baseline.grid)]
    tried = (_tried(baseline.fit(fold.training, **each), each, fold) for each in values)
    return max(tried, key=lambda setting: (setting.h, setting.roc_unseen))


def evaluated(name: str, entrant: Entrant, setting: Setting) -> ZeroShotScores:
    """Baseline ``name`` fitted on all seen classes, with a setting chosen before, on the test pictures."""
    scorer = look_up(BASELINES, name, "baseline").fit(entrant.training, **setting.values)
    seen, unseen = (torch.from_numpy(scorer(part, entrant.texts) / setting.scale) for part in entrant.tests)
    return scored(entrant.data, seen, unseen, setting.calibration, setting.gamma)


def scored(data: ZeroShotData, seen: Tensor, unseen: Tensor, calibration: str, gamma: float) -> ZeroShotScores:
    """All metrics of scores (N, K) on the test pictures of seen and of unseen classes."""
    return zero_shot_scores(
        (calibrated(seen, calibration), calibrated(unseen, calibration)),
        (data.test_seen.labels, data.test_unseen.labels),
        data.seen,
        data.unseen,
        gamma=gamma,
    )


def _tried(scorer: Scorer, values: Mapping[str, Any], fold: Entrant) -> Setting:
    data = fold.data
    seen, unseen = (torch.from_numpy(scorer(part, fold.texts)) for part in fold.tests)
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


def _grid(grid: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def _flat(split: Split) -> Array:
    return np.asarray(in_unit_range(split.images).flatten(1).numpy(), dtype=np.float64)
