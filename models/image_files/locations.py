"""Where data are: a path of this machine, or a URL that fsspec supports, such as ``s3://bucket/photos``."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple
from urllib.parse import unquote

from .errors import DataError

FILE_SCHEME = "file://"


class RemoteStat(NamedTuple):
    """Size and version of a remote file, under the names of ``os.stat_result``.

    Times are 0 where the file system knows none. ``st_ino`` is a number of the version, such as that of an ETag.
    """

    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int
    st_ino: int


@dataclass(frozen=True, order=True)
class RemotePath:
    """A file or folder at a URL, with the part of the interface of ``Path`` that readers use.

    It holds no connection, so it can be pickled. fsspec keeps the connections of a process. Methods that read raise
    :class:`DataError` if fsspec does not know the protocol or the server refuses, and ``FileNotFoundError``.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: "str | PurePosixPath") -> "RemotePath":
        text = str(name)
        separator = "" if self.url.endswith("://") else "/"
        return self if text in ("", ".") else RemotePath(f"{self.url}{separator}{text}")

    @property
    def _inside(self) -> PurePosixPath:
        return PurePosixPath(self.url.partition("://")[2])

    @property
    def name(self) -> str:
        """The last part."""
        return self._inside.name

    @property
    def suffix(self) -> str:
        """The suffix of the name, with its dot."""
        return self._inside.suffix

    @property
    def parent(self) -> "RemotePath":
        """The folder that contains it; at the top of a file system that has no server, the protocol alone."""
        protocol, _, rest = self.url.partition("://")
        return RemotePath(f"{protocol}://{rest.rpartition('/')[0]}")

    def exists(self) -> bool:
        """Return whether there is a file or folder."""
        with self._files(is_question=True) as (files, path):
            return bool(files.exists(path))

    def is_dir(self) -> bool:
        """Return whether it is a folder."""
        with self._files(is_question=True) as (files, path):
            return bool(files.isdir(path))

    def is_file(self) -> bool:
        """Return whether it is a file."""
        with self._files(is_question=True) as (files, path):
            return bool(files.isfile(path))

    def children(self) -> Iterator[tuple[str, bool]]:
        """Yield name and whether it is a folder, for all that is in this folder."""
        with self._files() as (files, path):
            for entry in files.ls(path, detail=True):
                name = PurePosixPath(entry["name"]).name
                if PurePosixPath(entry["name"]) != PurePosixPath(path):  # object stores list the folder itself
                    yield name, entry["type"] == "directory"

    def glob(self) -> "list[RemotePath]":
        """Return the files that match the pattern in the URL, sorted."""
        with self._files(is_question=True) as (files, path):
            before = self.url.removesuffix(path.lstrip("/"))  # protocol and server, which fsspec leaves out
            return sorted(RemotePath(before + found.lstrip("/")) for found in files.glob(path))

    def open(self, mode: str = "rb") -> IO[bytes]:
        """Open the file to read bytes."""
        with self._files() as (files, path):
            stream: IO[bytes] = files.open(path, mode)
            return stream

    def read_bytes(self, start: int | None = None, end: int | None = None) -> bytes:
        """Return the bytes from ``start`` to ``end``, by default all."""
        with self._files() as (files, path):
            return bytes(files.cat_file(path, start=start, end=end))

    def stat(self) -> RemoteStat:
        """Return size, times and version."""
        with self._files() as (files, path):
            info = files.info(path)
            try:
                changed = int(1e9 * files.modified(path).timestamp())
            except (NotImplementedError, KeyError, AttributeError):
                changed = 0
            version = int.from_bytes(sha256(str(files.ukey(path)).encode()).digest()[:7], "big")
            return RemoteStat(int(info["size"] or 0), changed, changed, version)

    def forget_listings(self) -> None:
        """Let the next calls ask the server again, because another program may have written."""
        with self._files() as (files, _):
            files.invalidate_cache()

    @contextmanager
    def _files(self, *, is_question: bool = False) -> Iterator[tuple[Any, str]]:
        """Give the file system and the path in it; turn errors into DataError.

        Those of the system are kept for the caller, unless it only asks what there is: it expects none.
        """
        from fsspec.core import url_to_fs

        try:
            yield url_to_fs(self.url)
        except DataError:
            raise
        except ImportError as error:
            raise DataError(
                f"a URL needs the package of its protocol, but {self.url} has none: {error}; install it with pip"
            ) from None
        except Exception as error:  # each protocol has errors of its own, for wrong names, credentials, connections
            if isinstance(error, OSError) and not is_question:
                raise
            raise DataError(
                f"the data must be readable, but {self.url} is not: {type(error).__name__}: {error}; check the URL and "
                "the credentials of this machine"
            ) from error


Location = Path | RemotePath


def is_url(text: str) -> bool:
    """Return whether ``text`` is a URL and not a path.

    >>> is_url("s3://bucket/photos"), is_url("photos/a:b")
    (True, False)
    """
    return re.match(r"[a-z][a-z0-9+.-]*://", text, re.IGNORECASE) is not None


def location(path: "str | Location") -> Location:
    """Return the location of ``path``: ``~`` is expanded, and a ``file://`` URL is a path.

    >>> location("file:///data/photos"), location("s3://bucket/photos/")
    (PosixPath('/data/photos'), RemotePath(url='s3://bucket/photos'))
    """
    if isinstance(path, RemotePath):
        return path
    text = str(path)
    if not is_url(text):
        return Path(text).expanduser()
    if text.lower().startswith(FILE_SCHEME):
        return Path(unquote(text[len(FILE_SCHEME) :]))
    protocol, _, rest = text.partition("://")
    return RemotePath(f"{protocol}://{rest.rstrip('/')}")


def relative(path: Location, folder: Location) -> str | None:
    """Return the path from ``folder`` to ``path`` with "/", "." for the folder itself; None outside of it."""
    inner, outer = PurePosixPath(str(path)), PurePosixPath(str(folder))  # the two slashes of a URL become one in both
    return inner.relative_to(outer).as_posix() if inner.is_relative_to(outer) else None


def joined(root: str, container: str, file: str = "") -> Location:
    """Return the location of ``file`` in ``container``, which is relative to ``root``, absolute, or a URL."""
    folder = location(container) if is_url(container) else location(root) / container
    return folder / file if file else folder
