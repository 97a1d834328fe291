"""Dumps: a whole copy of a PostgreSQL store, made by PostgreSQL's own tool."""

import os
import subprocess
from datetime import datetime
from pathlib import Path

from sqlalchemy import URL

from ..database.atomic_file import whole
from ..database.errors import StoreError

FOLDER = Path("runs")


def dump(url: URL, target: Path | None = None) -> Path:
    """Write the database at ``url`` to ``target`` with pg_dump and return where; pg_restore reads it.

    By default it lies in ./runs, named by the database and the time. An older file is never overwritten. The password
    goes by the environment of pg_dump alone, where no list of processes shows it.
    """
    target = target or FOLDER / f"{url.database}-{datetime.now():%Y%m%d-%H%M%S}.dump"
    if target.exists():
        raise StoreError(f"a backup overwrites nothing, but {target} exists; give another name, or remove it")
    place = url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    secret = {"PGPASSWORD": url.password} if isinstance(url.password, str) else {}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole(target) as draft:
            told = ["pg_dump", "--format=custom", f"--file={draft}", f"--dbname={place}"]
            subprocess.run(told, check=True, capture_output=True, text=True, env={**os.environ, **secret})
    except FileNotFoundError:
        raise StoreError(
            "a backup of PostgreSQL is made by pg_dump, which is not here; install it (postgresql-client)"
        ) from None
    except subprocess.CalledProcessError as error:
        raise StoreError(f"{url} was not copied: pg_dump says: {' '.join(error.stderr.split())}") from None
    except OSError as error:
        raise StoreError(f"{url} cannot be copied to {target}: {error}") from error
    return target
