"""Section of the report on a zero-shot run: its single test next to the baselines, and what explains the model."""

import re
from collections.abc import Iterator, Mapping, Sequence
from textwrap import shorten
from typing import Any

from markupsafe import Markup

from ..database.zero_shot_records import (
    METRIC_NOTES,
    PIXEL_VECTORS,
    SELECTION_NOTE,
    TABLE_COLUMNS,
    better_baselines,
    failed_baselines,
    latest_explanation,
    latest_test_table,
)
from .page_parts import collapsible, heading, images, marked_paragraph, paragraph, section, table
from .run_data import RunData

# Only such data URLs are written into the page: a database from another person could contain any text.
DATA_URL = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+")
CLASS_NOTE = (
    "A prediction may be any unseen class; negatives are test images of the other unseen classes. confused_with is the "
    "wrong class that is predicted most often, for the fraction confused_share of the images."
)
NO_WORDS = "No word of this text lowers the PR-AUC when it is removed, or the text vector has no single words."
WORD_DROP_NOTE = (
    "PR-AUC is the area under the precision-recall curve of a class; its negatives are test images of the other "
    "unseen classes. The drop of a word is the decrease of the PR-AUC of its class when the word is removed: its "
    "entry in the text vector is set to 0, and the vector is scaled to its original length."
)


def zero_shot_section(data: RunData) -> Iterator[Markup]:
    """Yield the results of the zero-shot test and the explanations; nothing for other runs and untested ones."""
    test = latest_test_table(data.store, data.run.run_id)
    if test is None:
        return
    rows = [[row["method"], *(row.get(name) for name in TABLE_COLUMNS)] for row in test["rows"]]
    settings = [[row["method"], row["source"], row["setting"]] for row in test["rows"]]
    text = (
        f"Trial {test['trial']} was trained again on all {test['seen']:,} seen classes ({test['train']:,} images) and "
        f"tested once, on {test['test_unseen']:,} images of {test['unseen']:,} classes that were not used before, and "
        f"on {test['test_seen']:,} further images of the seen classes. The baselines use "
        f"{test.get('vectors', PIXEL_VECTORS)}. Their settings were selected on the same validation classes."
    )
    text += "".join(
        f" {sentence[:1].upper()}{sentence[1:]}." for sentence in (*failed_baselines(test), *better_baselines(test))
    )
    if test["earlier"]:
        earlier = ", ".join(map(str, test["earlier"]))
        text += f" Before trials were added, the run selected and tested these trials: {earlier}."
    costs = [[part["part"], part["params"], part["macs"], part["runs"]] for part in test["costs"]]
    yield section(
        "Zero-shot test on unseen classes",
        paragraph(text),
        table(("method", *TABLE_COLUMNS), rows, highlight_first=True),
        paragraph(METRIC_NOTES, muted=True),
        paragraph(SELECTION_NOTE, muted=True),
        *_class_table(test),
        collapsible("Methods and their settings", table(("method", "what it is", "setting"), settings)),
        heading(f"Cost of the parts of the model, for texts of {test['words']:,} words"),
        table(("part", "params", "macs", "runs"), costs),
        paragraph("The budget limits the image network and its head together.", muted=True),
    )
    explanation = latest_explanation(data.store, data.run.run_id)
    if explanation is not None and explanation["classes"]:
        note = "A sample of the unseen classes, evenly spaced in the ranking by PR-AUC, from best to worst."
        parts = explanation_parts(explanation["classes"])
        title = f"Explanation of trial {explanation['trial']}: most important words and nearest images"
        yield section(title, paragraph(note, muted=True), *parts)


def explanation_parts(classes: Sequence[Mapping[str, Any]], *, whole: bool = False) -> list[Markup]:
    """Return the parts that explain each class: its text, its most important words, and the nearest images.

    The words are marked in the text, which is shortened unless it shall be ``whole``.
    """
    parts = [paragraph(WORD_DROP_NOTE, muted=True)]
    for entry in classes:
        words = [[word["word"], word["drop"]] for word in entry["words"]]
        parts += [
            heading(f"{entry['class']}, PR-AUC {entry['pr_auc']:.4f}"),
            *([] if entry["text"] == entry["class"] else [_text(entry, whole)]),
            table(("word", "drop"), words) if words else paragraph(NO_WORDS, muted=True),
            _safe_images("nearest images of this class", entry["right"]),
            _safe_images("nearest images of other classes", entry["wrong"]),
        ]
    return parts


def _text(entry: Mapping[str, Any], whole: bool) -> Markup:
    """Return the text of a class with its most important words marked."""
    text = entry["text"] if whole else _shortened(entry["text"])
    words = entry.get("marked", [word["word"] for word in entry["words"]])  # older records have the entries alone
    return marked_paragraph(text, words)


def _class_table(test: Mapping[str, Any]) -> list[Markup]:
    """Return the table of the unseen classes; nothing for older records."""
    if not test.get("classes"):
        return []
    columns = ("class", "images", "top1", "roc_auc", "pr_auc", "confused_with", "confused_share")
    rows = [[row.get(name) for name in columns] for row in test["classes"]]
    return [
        heading("Unseen classes, from the highest PR-AUC to the lowest"),
        paragraph(CLASS_NOTE, muted=True),
        table(columns, rows),
    ]


def _safe_images(title: str, entries: Sequence[Mapping[str, str]]) -> Markup:
    return images(title, [entry for entry in entries if DATA_URL.fullmatch(entry["image"])])


def _shortened(text: str, max_characters: int = 400) -> str:
    """Return the beginning of ``text``, cut between two words."""
    return shorten(text, max_characters, placeholder=" ...")
