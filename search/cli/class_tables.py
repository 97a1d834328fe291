"""The classes of a trial on the command line: results show TRIAL --classes."""

from typing import TYPE_CHECKING, Any

import typer

from .options import open_read_only
from .output import NOTHING_USABLE, share_text, show, show_json, show_message
from .tables import table

if TYPE_CHECKING:
    from ...results.analysis.class_metrics import ClassReport

MAX_SHOWN_MATRIX = 20  # classes; a wider matrix does not fit into a terminal
MAX_SHOWN_CLASSES = 100


def show_classes(name: str, database: Any, as_json: bool) -> None:
    """Print the class report of the trial ``name``; exit with code 3 if it has no stored predictions."""
    from ...results.analysis.class_metrics import class_report_of
    from ...results.query.trial_name import find_trial

    with open_read_only(database) as store:
        trial = find_trial(store, name)
        report, reason = class_report_of(store, trial)
    if report is None:
        if as_json:
            show_json({"trial": trial.trial, "reason": reason})
        show_message(reason)
        raise typer.Exit(NOTHING_USABLE)
    if as_json:
        show_json(report.to_json())
    else:
        show(*_texts(report))


def _texts(report: "ClassReport") -> list[str]:
    confusions = [] if report.multi_label else [_matrix(report) or _confusions(report)]
    texts = [_classes(report), *confusions, _mistakes(report), _reliability(report)]
    return [*texts, *filter(None, [report.sample_note])]


def _classes(report: "ClassReport") -> str:
    shown = report.classes[:MAX_SHOWN_CLASSES]
    rows = [(c.name, *map(share_text, (c.precision, c.recall, c.f1)), f"{c.support:,}") for c in shown]
    title = f"classes of trial {report.trial} on {report.n:,} validation images"
    if len(shown) < len(report.classes):
        title += f", the first {len(shown)} of {len(report.classes):,} (--json has all)"
    return table(title, ("class", "precision", "recall", "f1", "support"), rows, left=("class",))


def _matrix(report: "ClassReport") -> str:
    """Return the confusion matrix; an empty text if it has too many classes for a terminal."""
    if report.matrix is None or len(report.matrix) > MAX_SHOWN_MATRIX:
        return ""
    names = [one.name for one in report.classes]
    rows = [(name, *map(str, row)) for name, row in zip(names, report.matrix, strict=True)]
    return table("confusion matrix: a row for each label, a column for each prediction", ("", *names), rows, left=("",))


def _confusions(report: "ClassReport") -> str:
    rows = [(one.label, one.predicted, f"{one.images:,}") for one in report.confusions]
    headers = ("label", "predicted", "images")
    return table(
        "most frequent confusions (--json has the matrix of up to 100 classes)", headers, rows, left=headers[:2]
    )


def _mistakes(report: "ClassReport") -> str:
    rows = [(str(one.image), one.label, one.predicted, share_text(one.confidence)) for one in report.mistakes]
    headers = ("image", "label", "predicted", "confidence")
    title = "most confident mistakes (image: its position in the validation images)"
    return table(title, headers, rows, left=headers[1:3]) if rows else "no mistakes\n"


def _reliability(report: "ClassReport") -> str:
    rows = [
        (f"{b.low:.2f} to {b.high:.2f}", f"{b.images:,}", share_text(b.confidence), share_text(b.accuracy))
        for b in report.reliability
        if b.images
    ]
    if report.multi_label:
        headers = ("probability", "image-class pairs", "mean probability", "share that has the class")
    else:
        headers = ("confidence", "images", "mean confidence", "accuracy")
    return table("calibration", headers, rows, left=())
