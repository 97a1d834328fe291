"""The report: one run as one offline page."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from markupsafe import Markup

from ..database.atomic_file import whole
from ..database.reader import Reading
from . import plots
from .analysis_sections import health_section, importance_section, latency_section, proxy_section
from .best_trials_section import winners_sections
from .html import page, paragraph, picture, section, table
from .run_data import Told
from .summary_section import opening_section, provenance_section
from .zero_shot_section import zero_shot_section

_FAILURES = 50  # rows of the table


def write_report(store: Reading, run: str | int, path: str | Path) -> Path:
    """Write the page on ``run`` to ``path`` and return it; an older page is replaced only by a whole one."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"a report is a file, but {path} is a folder; write to {path / 'report.html'}")
    told = Told(store, store.run(run))
    html = page(f"archsieve: {told.run.name}", _sections(told), plotly=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as draft:
        draft.write_text(html, encoding="utf-8")
    return path


def _sections(told: Told) -> Iterator[Markup]:
    """In the order of the questions that a reader has."""
    yield opening_section(told)
    yield from winners_sections(told)
    yield from zero_shot_section(told)
    if told.best:
        yield from importance_section(told)
    yield from latency_section(told.store, told.run.run_id, told.history, told.budget)
    yield from proxy_section(told.store, told.run.run_id, told.history, told.budget)
    yield from health_section(told.store, told.run.run_id, len(told.history))
    if told.failed:
        yield _failures(told)
    yield provenance_section(told)


def _failures(told: Told) -> Markup:
    counts = Counter(str(trial.fail_kind) for trial in told.failed)
    rows = [(trial.trial, trial.fail_kind, trial.epochs_done, trial.reason) for trial in told.failed[:_FAILURES]]
    drawn = picture(plots.failures(dict(counts.most_common())), "failures")
    more = f"The first {_FAILURES} of {len(told.failed)} are listed." if len(told.failed) > _FAILURES else ""
    listed = table(("trial", "kind", "epochs_done", "reason"), rows)
    return section("Failures", drawn, listed, *([paragraph(more, soft=True)] if more else []))
