"""Build the cache of an image folder: ``build_cache.py FOLDER CACHE [images per chunk]``. It prints what it does."""

import sys
from pathlib import Path

from archsieve.models.image_files.decoding import Decoding
from archsieve.models.image_files.errors import DataError
from archsieve.models.readers.read_index import read_index
from archsieve.models.storage import cache_build
from archsieve.models.storage.encoded import EncodedImages


def progress(done: int, total: int) -> None:
    print("decoded", done, total, flush=True)


def main(folder: str, cache: str, chunk: int = 4096) -> None:
    cache_build.MAX_CHUNK = int(chunk)
    images = EncodedImages(read_index(Path(folder)).canonical(), Decoding(16))
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        file = cache_build.open_cache(images, Path(cache), progress=progress)
    except DataError as error:
        print("DataError", error, flush=True)
        return
    assert file.pixels is not None
    print("opened", int(file.pixels.sum()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]
