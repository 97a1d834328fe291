"""Report of one run: a single HTML page that works offline."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from markupsafe import Markup

from ..database.atomic_file import atomic_write
from ..database.reader import StoreReader
from ..query.run_summary import failed_trials
from . import plots
from .analysis_sections import health_section, importance_section, latency_section, prior_section, proxy_section
from .best_trials_section import best_trials_sections
from .class_section import Thumbnails, class_section
from .page_parts import figure_part, page, paragraph, section, table
from .run_data import RunData
from .summary_section import provenance_section, summary_section
from .zero_shot_section import zero_shot_section

log = logging.getLogger("archsieve")
WITHOUT_THUMBNAILS = Thumbnails()
_MAX_FAILURES = 50  # rows of the table of failed trials


def write_report(
    store: StoreReader, run: str | int, path: str | Path, thumbnails: Thumbnails = WITHOUT_THUMBNAILS
) -> Path:
    """Write the report of ``run`` to ``path`` and return the path. ``thumbnails`` are images of mistakes, if read.

    An older report is replaced only when the new one is complete. Raises ``ValueError`` if ``path`` is a folder or the
    run is unknown.
    """
    return write_report_of(RunData(store, store.run(run)), path, thumbnails)


def write_report_of(data: RunData, path: str | Path, thumbnails: Thumbnails) -> Path:
    """Write the report of the run of ``data``, as :func:`write_report` does."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"the report must be a file, but {path} is a folder; write to {path / 'report.html'}")
    # The page is rendered before the folder is created, so that an error leaves nothing behind.
    html = page(f"archsieve: {data.run.name}", _sections(data, thumbnails), plotly=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as draft:
        draft.write_text(html, encoding="utf-8")
    return path


def _sections(data: RunData, thumbnails: Thumbnails) -> Iterator[Markup]:
    """Yield the sections: the result first, then what explains it, then problems, then how to reproduce the run."""
    yield from _readable("Summary", lambda: [summary_section(data)])
    yield from _readable("Best trials", lambda: best_trials_sections(data))
    yield from _readable("Classes of the best trial", lambda: class_section(data, thumbnails))
    yield from _readable("Zero-shot test on unseen classes", lambda: zero_shot_section(data))
    if data.best:
        yield from _readable("Importance of choices", lambda: importance_section(data))
    yield from _readable("What was known before", lambda: prior_section(data))
    yield from _readable("Latency", lambda: latency_section(data))
    yield from _readable("Proxies", lambda: proxy_section(data))
    yield from _readable("Problems found in trials", lambda: health_section(data))
    if data.totals.n_failed:
        yield from _readable("Failed trials", lambda: [_failures(data)])
    yield from _readable("How to reproduce this run", lambda: [provenance_section(data)])


def _readable(title: str, make: Callable[[], Iterable[Markup]]) -> Iterable[Markup]:
    """Return the sections that ``make`` returns, or one that says why they cannot be shown.

    A database from elsewhere may hold values of any form, and one of them must not hide the rest of the run.
    """
    try:
        return list(make())
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        log.warning("the section %r of the report cannot be shown: %s: %s", title, type(error).__name__, error)
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        return [section(title, paragraph(f"The records of this run cannot be shown here ({reason})."))]


def _failures(data: RunData) -> Markup:
    counts = Counter({str(kind): count for kind, count in data.totals.failures.items()})
    failed = failed_trials(data.store, data.run.run_id, _MAX_FAILURES)
    rows = [(trial.trial, trial.fail_kind, trial.epochs_done, trial.reason) for trial in failed]
    figure = figure_part(plots.failures(dict(counts.most_common())), "failures")
    n_failed = data.totals.n_failed
    note = f"The first {_MAX_FAILURES} of {n_failed} failed trials are listed." if n_failed > _MAX_FAILURES else ""
    failed_table = table(("trial", "kind", "epochs_done", "reason"), rows)
    return section("Failed trials", figure, failed_table, *([paragraph(note, muted=True)] if note else []))
