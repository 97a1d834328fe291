"""Combinations: the mean of the calibrated scores of several zero-shot models, tested and saved as one file.

Shapes: N images, K classes, M members.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from ..data.zero_shot import ZeroShotData
from ..export.safetensors_file import checked_content, model_bytes, read_header, read_model
from .comparison import metrics_of_scores
from .metrics import ZeroShotScores, seen_unseen_curve
from .saved_model import AnyFit, ZeroShotModel
from .trainer import calibrated, score_images

FORMAT = "combination 1"  # version of the file format; files of other versions are refused
KIND = "a combination of zero-shot recognisers"
CALIBRATION = "posterior"  # scores of different models are comparable only as log p(class | image)

Scores = tuple[Tensor, Tensor]  # of the images of seen and of unseen classes, (N, K) and (M, K)


@dataclass(frozen=True)
class CombinationRule:
    """How scores of M members become one: each is divided by its ``scales``, and log p(class | image) are averaged.

    ``gamma`` is subtracted from the scores of seen classes. ``h`` is H on the validation classes with this gamma.
    """

    scales: tuple[float, ...]
    gamma: float
    h: float

    @classmethod
    def of(cls, data: ZeroShotData, scores: Sequence[Scores]) -> "CombinationRule":
        """Return the rule from the scores of each member on the validation classes of ``data``.

        A scale is the standard deviation of the scores of images of validation classes; gamma has the highest H there.
        """
        scales = tuple(float(unseen.std()) or 1.0 for _, unseen in scores)
        rule = cls(scales, 0.0, 0.0)
        both = torch.cat([rule.mean([member[part] for member in scores]) for part in (0, 1)])
        labels = torch.cat([data.test_seen.labels, data.test_unseen.labels])
        gamma, h = seen_unseen_curve(both, labels, data.seen, data.unseen).best
        return replace(rule, gamma=gamma, h=h)

    def mean(self, scores: Sequence[Tensor]) -> Tensor:
        """Return the mean (N, K) of the calibrated scores of M members, each (N, K)."""
        parts = [
            calibrated(part.double() / scale, CALIBRATION) for part, scale in zip(scores, self.scales, strict=True)
        ]
        return torch.stack(parts).mean(0)

    def test(self, data: ZeroShotData, scores: Sequence[Scores]) -> ZeroShotScores:
        """Return the metrics of the mean of the members' ``scores`` on the test images of ``data``."""
        seen, unseen = (self.mean([member[part] for member in scores]) for part in (0, 1))
        return metrics_of_scores(data, seen, unseen, CALIBRATION, self.gamma)


def scores_of(fit: AnyFit, data: ZeroShotData) -> Scores:
    """Return the scores of a finished ``fit`` on both test parts of ``data``."""
    encoded = fit.encoder(data.classes, data.texts)
    seen, unseen = (
        score_images(fit.network, data, part, encoded, fit.compute) for part in (data.test_seen, data.test_unseen)
    )
    return seen, unseen


def combination_bytes(rule: CombinationRule, members: Sequence[bytes]) -> bytes:
    """Return a combination as one safetensors file; ``members`` are the files of its models."""
    header = {"format": FORMAT, "members": len(members), "scales": list(rule.scales), "gamma": rule.gamma, "h": rule.h}
    # each member is a file in the file, so that both have one reader
    files = {f"member{k}": torch.frombuffer(bytearray(content), dtype=torch.uint8) for k, content in enumerate(members)}
    return model_bytes(header, {}, **files)


def is_combination_file(path: Path) -> bool:
    """Return whether ``path`` is a file of :func:`combination_bytes`."""
    return path.suffix == ".safetensors" and path.is_file() and read_header(path).get("format") == FORMAT


def load_combination(path: Path) -> tuple[CombinationRule, tuple[ZeroShotModel, ...]]:
    """Read a combination without executing anything in the file; raise ``ValueError`` if it is none."""
    header, _, files = read_model(path, KIND, FORMAT)
    with checked_content(path, KIND):
        rule = CombinationRule(tuple(map(float, header["scales"])), float(header["gamma"]), float(header["h"]))
        if len(rule.scales) != header["members"]:
            raise ValueError(f"each member needs a scale, but {header['members']} have {len(rule.scales)}")
        with _member_files([files[f"member{k}"] for k in range(header["members"])]) as paths:
            return rule, tuple(ZeroShotModel.load(file) for file in paths)


@contextmanager
def _member_files(contents: Sequence[Tensor]) -> Iterator[list[Path]]:
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{k}.safetensors" for k in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content.numpy().tobytes())
        yield paths
