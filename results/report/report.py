"""Report of one run: a single HTML page that works offline."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from markupsafe import Markup

from ..database.atomic_file import atomic_write
from ..database.reader import StoreReader
from . import plots
from .analysis_sections import health_section, importance_section, latency_section, proxy_section
from .best_trials_section import best_trials_sections
from .page_parts import figure_part, page, paragraph, section, table
from .run_data import RunData
from .summary_section import provenance_section, summary_section
from .zero_shot_section import zero_shot_section

_MAX_FAILURES = 50  # rows of the table of failed trials


def write_report(store: StoreReader, run: str | int, path: str | Path) -> Path:
    """Write the report of ``run`` to ``path`` and return the path.

    An older report is replaced only when the new one is complete. Raises ``ValueError`` if ``path`` is a folder or the
    run is unknown.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"the report must be a file, but {path} is a folder; write to {path / 'report.html'}")
    data = RunData(store, store.run(run))
    # The page is rendered before the folder is created, so that an error leaves nothing behind.
    html = page(f"archsieve: {data.run.name}", _sections(data), plotly=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as draft:
        draft.write_text(html, encoding="utf-8")
    return path


def _sections(data: RunData) -> Iterator[Markup]:
    """Yield the sections: the result first, then what explains it, then problems, then how to reproduce the run."""
    yield summary_section(data)
    yield from best_trials_sections(data)
    yield from zero_shot_section(data)
    if data.best:
        yield from importance_section(data)
    yield from latency_section(data.store, data.run.run_id, data.history, data.budget)
    yield from proxy_section(data.store, data.run.run_id, data.history, data.budget)
    yield from health_section(data.store, data.run.run_id, len(data.history))
    if data.failed:
        yield _failures(data)
    yield provenance_section(data)


def _failures(data: RunData) -> Markup:
    counts = Counter(str(trial.fail_kind) for trial in data.failed)
    rows = [(trial.trial, trial.fail_kind, trial.epochs_done, trial.reason) for trial in data.failed[:_MAX_FAILURES]]
    figure = figure_part(plots.failures(dict(counts.most_common())), "failures")
    n_failed = len(data.failed)
    note = f"The first {_MAX_FAILURES} of {n_failed} failed trials are listed." if n_failed > _MAX_FAILURES else ""
    failed_table = table(("trial", "kind", "epochs_done", "reason"), rows)
    return section("Failed trials", figure, failed_table, *([paragraph(note, muted=True)] if note else []))
