"""The data sets that the trials of a database were validated on: their metrics cannot be compared."""

from sqlalchemy import select

from ..database import schema
from ..database.reader import StoreReader
from ..database.records import DatasetRecord
from ..database.rows import dataset_of
from .best import runs_in
from .metric_columns import selections

MAX_NAMED = 5


def datasets_with_trials(store: StoreReader) -> list[DatasetRecord]:
    """Return the data sets of all runs that have a trial, by name and content hash."""
    d, r, t = schema.dataset.c, schema.run.c, schema.trial.c
    used = select(r.dataset_hash).where(select(t.trial_id).where(t.run_id == r.run_id).exists())
    query = select(schema.dataset).where(d.content_hash.in_(used)).order_by(d.name, d.content_hash)
    with store.read_transaction() as connection:
        return [dataset_of(row) for row in connection.execute(query)]


def check_one_dataset(store: StoreReader) -> None:
    """Raise ``ValueError`` if the trials of the database are of several data sets."""
    names = [f"{one.name!r} ({one.content_hash[:12]})" for one in datasets_with_trials(store)]
    if len(names) > 1:
        shown = ", ".join(names[:MAX_NAMED]) + (", ..." if len(names) > MAX_NAMED else "")
        raise ValueError(
            f"trials are ranked within one data set, but this database has {len(names)}: {shown}; name one "
            "by its name or content hash, as data=..., or a run, as run=..."
        )


def selecting_metrics(store: StoreReader, dataset: str | None = None) -> list[str]:
    """Return the metrics with which the runs, or those on ``dataset``, select, in alphabetical order."""
    with store.read_transaction() as connection:
        return sorted({selection.metric for selection in selections(connection, runs_in(connection, None, dataset))})
