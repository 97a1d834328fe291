"""The report's section on importance: which choices mattered, and how far to believe it."""

from collections.abc import Iterator

from ..analysis.importance import LEAST, Importances, importances
from . import plots
from .html import paragraph, picture, section
from .run_data import Told

_SHOWN = 12


def importance_section(told: Told) -> Iterator[str]:
    """One section where the trials are enough to say anything, or to say that they say nothing."""
    found = importances(told.history.trials)
    if found is None:
        if len(told.history.finished) > 1:
            text = (
                f"Nothing to tell: it takes at least {LEAST} finished trials that differ in their choices and accuracy."
            )
            yield section("Which choices mattered", paragraph(text))
        return
    if not found.telling:
        yield section("Which choices mattered", paragraph(_silent(found)))
        return
    shown = [choice for choice in found.choices if choice.mean > 0][:_SHOWN]
    drawn = picture(plots.importance_bars(shown), "importance")
    yield section("Which choices mattered", paragraph(_words(found)), drawn, paragraph(_caution(found), soft=True))


def _silent(found: Importances) -> str:
    return (
        f"The {found.n} trials do not tell: a forest of regression trees predicts the accuracy of trials that it has "
        f"not seen no better than their mean does (R² = {found.r2:.2f})."
    )


def _words(found: Importances) -> str:
    return (
        "By how many points of accuracy a prediction from the choices gets worse when one choice is shuffled among the "
        f"trials. The forest that predicts explains {found.r2:.0%} of the variance among trials it has not seen "
        f"(n = {found.n})."
    )


def _caution(found: Importances) -> str:
    return (
        f"This is what {found.n} trials suggest, no more: the searcher chose them, two choices that went together "
        "share their importance, and a choice that only one kind of block has counts for few trials. The whiskers are "
        "one standard deviation over folds and shuffles."
    )
