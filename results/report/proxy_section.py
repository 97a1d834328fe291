"""The report's section on proxies: how well scores of untrained networks rank the trained ones."""

from collections.abc import Iterator

from ...spaces.architectures.budget import Budget
from ..database.proxy_records import LEAST, WARMED_UP, rank_correlations
from ..database.reader import Reading
from ..database.records import History, TrialState
from .html import paragraph, section, table


def proxy_section(store: Reading, run_id: int, history: History, budget: Budget) -> Iterator[str]:
    """One section where there are trials enough to rank, else none."""
    inside = [trial for trial in history if budget.in_time(trial.latency_ms)]
    ended = [trial for trial in inside if trial.state is TrialState.COMPLETED and trial.val_accuracy is not None]
    if len(ended) < LEAST:
        return
    found = rank_correlations(store, run_id, ended)
    rows = [(row.proxy, row.n, row.spearman, row.kendall) for row in found]
    text = (
        f"Rank correlation of each proxy with validation accuracy over the trials inside the budget {budget} that were "
        f"trained to their end. 1: the same order, -1: the reverse, empty: fewer than {LEAST} scores, or all alike. "
        f"The trials are those the searcher chose, with recipes that differ; among {len(ended)} of them chance alone "
        f"gives a Spearman correlation of about {(len(ended) - 1) ** -0.5:.2f} either way."
    )
    columns = ("proxy", "n", "Spearman", "Kendall")
    yield section("Proxies", paragraph(text), table(columns, rows), *_warm_up(store, run_id))


def _warm_up(store: Reading, run_id: int) -> Iterator[str]:
    for event in store.events(run_id, WARMED_UP):
        told = event["detail"]
        yield paragraph(
            f"Warm-up: {told['candidates']} candidates inside the budget were scored untrained by {told['proxy']} "
            f"({told['scored']} have a score), and the best {len(told['chosen'])} were proposed first."
        )
