"""Section of the report on the classes of the best trial: metrics, confusions, mistakes, calibration."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from markupsafe import Markup

from . import class_plots
from .page_parts import collapsible, figure_part, heading, images, paragraph, section, table
from .run_data import RunData

if TYPE_CHECKING:
    from ..analysis.class_metrics import ClassReport, Mistake

# Only such data URLs are written into the page, and no long ones: the bytes of a page are bounded.
_DATA_URL = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]{1,40000}")
MAX_SHOWN_CLASSES = 100
PREDICTIONS_NOTE = (
    "From the stored predictions of the validation images at the best epoch. Precision is the share of the predictions "
    "of a class that are right. Recall is the share of the images of a class that are predicted as this class. F1 is "
    "the harmonic mean of both. The support is the number of images of a class."
)


CALIBRATION_NOTE = (
    "Each point is one range of confidence, with the mean confidence and the accuracy of its images. A network is "
    "calibrated if both are equal: then the points are on the diagonal."
)
LABEL_CALIBRATION_NOTE = (
    "Each point is one range of probabilities: the mean probability of the pairs of image and class in it, and the "
    "share of these pairs in which the image has the class. A network is calibrated if both are equal: then the points "
    "are on the diagonal."
)


@dataclass(frozen=True)
class Thumbnails:
    """Small images as data URLs of PNG files, by their position in the validation images.

    ``reason`` is the text shown if there are none.
    """

    images: Mapping[int, str] = field(default_factory=dict)
    reason: str = "To show the images of these mistakes, run: archsieve report RUN --images"


def class_section(data: RunData, thumbnails: Thumbnails) -> Iterator[Markup]:
    """Yield the section on the classes of the best trial, or one with the reason why there is none."""
    from ..analysis.class_metrics import class_report_of  # its module loads numpy

    if not data.best or data.is_zero_shot:
        return
    winner = data.best[0]
    title = f"Classes of the best trial (trial {winner.trial})"
    report, reason = class_report_of(data.store, winner)
    if report is None:
        yield section(title, paragraph(f"No predictions can be shown: {reason}."))
        return
    yield section(
        title,
        paragraph(f"{PREDICTIONS_NOTE} {report.sample_note}".rstrip(), muted=True),
        *_classes(report),
        *_confusions(report),
        *_mistakes(report.mistakes, thumbnails),
        heading("Calibration"),
        paragraph(LABEL_CALIBRATION_NOTE if report.multi_label else CALIBRATION_NOTE, muted=True),
        figure_part(class_plots.reliability(report.reliability), "reliability"),
    )


def _classes(report: "ClassReport") -> Iterator[Markup]:
    shown = report.classes[:MAX_SHOWN_CLASSES]
    rows = [(one.name, one.precision, one.recall, one.f1, one.support) for one in shown]
    yield table(("class", "precision", "recall", "F1", "support"), rows)
    if len(shown) < len(report.classes):
        yield paragraph(f"The first {len(shown)} of {len(report.classes):,} classes are listed.", muted=True)


def _confusions(report: "ClassReport") -> Iterator[Markup]:
    if report.matrix is not None:
        names = [one.name for one in report.classes]
        yield figure_part(class_plots.confusion_matrix(report.matrix, names), "confusion")
    if report.confusions:
        rows = [(one.label, one.predicted, one.images) for one in report.confusions]
        yield collapsible("Most frequent confusions", table(("label", "predicted", "images"), rows))


def _mistakes(mistakes: "tuple[Mistake, ...]", thumbnails: Thumbnails) -> Iterator[Markup]:
    yield heading("Most confident mistakes")
    if not mistakes:
        yield paragraph("There are none: every stored prediction is right.")
        return
    entries = [
        {"image": url, "class": f"{one.label}, predicted as {one.predicted} ({one.confidence:.0%})"}
        for one in mistakes
        if (url := thumbnails.images.get(one.image)) is not None and _DATA_URL.fullmatch(url)
    ]
    if entries:
        yield images("label, predicted class and confidence", entries)
    else:
        yield paragraph(thumbnails.reason, muted=True)
    rows = [(str(one.image), one.label, one.predicted, one.confidence) for one in mistakes]
    columns = ("position in the validation images", "label", "predicted", "confidence")
    yield table(columns, rows)
