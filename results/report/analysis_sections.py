"""The report's section on health: what was found wrong, and in how many trials."""

from collections import Counter
from collections.abc import Iterator

from ..analysis.health import findings_of
from ..database.reader import Reading
from .html import paragraph, section, table

MOST = 50  # rows of the table


def health_section(store: Reading, run_id: int, n_trials: int) -> Iterator[str]:
    """One section where something was found, else none."""
    found = findings_of(store, run_id)
    if not found:
        return
    counts = Counter(finding.kind for several in found.values() for finding in several)
    said = ", ".join(f"{kind} {n}" for kind, n in counts.most_common())
    rows = [(trial, finding.kind, finding.said) for trial, several in found.items() for finding in several]
    more = f" The first {MOST} of {len(rows)} findings are listed." if len(rows) > MOST else ""
    note = paragraph(f"Found in {len(found)} of {n_trials} trials: {said}.{more}")
    yield section("Health of the trials", note, table(("trial", "finding", "what it shows"), rows[:MOST]))
