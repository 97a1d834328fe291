"""The report's section on a zero-shot run: the one test, beside the baselines; and what the chosen model goes by."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ..database.zero_shot_records import MEASURES, SELECTED_BY, SHOWN, explanation_of, table_of
from .html import folded, heading, images, paragraph, section, table
from .run_data import Told

IMAGE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+")  # a store may come from anywhere
HOW_WORDS = (
    "A word matters as much as the class's PR-AUC falls without it: its entry in the text's vector is set to 0, the "
    "vector scaled back to its old length. The negatives are test images of the other unseen classes."
)


def zero_shot_section(told: Told) -> Iterator[Markup]:
    """Nothing where the run is of another kind, or has not been tested."""
    found = table_of(told.store, told.run.run_id)
    if found is None:
        return
    rows = [[row["method"], *(row.get(name) for name in SHOWN)] for row in found["rows"]]
    settings = [[row["method"], row["source"], row["setting"]] for row in found["rows"]]
    said = (
        f"Trial {found['trial']} was trained anew on all {found['seen']:,} seen classes ({found['train']:,} images) "
        f"and tested once: on {found['test_unseen']:,} images of {found['unseen']:,} classes that nothing had looked "
        f"at, and on {found['test_seen']:,} other images of the seen ones. The baselines were given the same images, "
        "as principal components of their pixels, and chose their settings on the same validation classes."
    )
    if found["earlier"]:
        earlier = ", ".join(map(str, found["earlier"]))
        said += f" When the run had fewer trials it chose otherwise, and tested before: {earlier}."
    costs = [[part["part"], part["params"], part["macs"], part["runs"]] for part in found["costs"]]
    yield section(
        "Classes known by their text alone",
        paragraph(said),
        table(("method", *SHOWN), rows, first=True),
        paragraph(MEASURES, soft=True),
        paragraph(SELECTED_BY, soft=True),
        folded("What the methods are, and how they are set", table(("method", "what it is", "setting"), settings)),
        heading(f"What its parts cost, for texts of {found['words']:,} words"),
        table(("part", "params", "macs", "runs"), costs),
        paragraph("The budget limits the image network and its head together.", soft=True),
    )
    explained = explanation_of(told.store, told.run.run_id)
    if explained is not None and explained["classes"]:
        chosen = "Unseen classes from the best recognised to the worst, in even steps of their rank by PR-AUC."
        parts = explanation_parts(explained["classes"])
        yield section(f"What trial {explained['trial']} goes by", paragraph(chosen, soft=True), *parts)


def explanation_parts(classes: Sequence[Mapping[str, Any]]) -> list[Markup]:
    """Each class: its text, the words that matter most, the nearest images of it and of others."""
    parts = [paragraph(HOW_WORDS, soft=True)]
    for one in classes:
        words = [[word["word"], word["drop"]] for word in one["words"]]
        parts += [
            heading(f"{one['class']}, PR-AUC {one['pr_auc']:.4f}"),
            *([] if one["text"] == one["class"] else [paragraph(_short(one["text"]), soft=True)]),
            table(("word", "drop"), words) if words else paragraph("Its text has no words of its own.", soft=True),
            _images("nearest of the class", one["right"]),
            _images("nearest of others", one["wrong"]),
        ]
    return parts


def _images(title: str, entries: Sequence[Mapping[str, str]]) -> Markup:
    return images(title, [entry for entry in entries if IMAGE.fullmatch(entry["image"])])


def _short(text: str, most: int = 400) -> str:
    return text if len(text) <= most else f"{text[:most].rstrip()} ..."
