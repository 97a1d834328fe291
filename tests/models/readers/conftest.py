"""Writers of the same labelled images in every form that a reader reads."""

import csv
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

CLASSES = ("cat", "dog", "émeu", "yak")


class Labelled(NamedTuple):
    content: bytes
    label: str
    split: str | None


def png(rng: np.random.Generator, side: int = 6) -> bytes:
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


def images(
    seed: int = 0, n_classes: int = 3, n: int = 6, splits: Sequence[str | None] = (None,), copies: int = 0
) -> list[Labelled]:
    """Return ``n`` images of each class in each split, the first of a class ``copies`` times more."""
    rng = np.random.default_rng(seed)
    made = []
    for split in splits:
        for label in CLASSES[:n_classes]:
            contents = [png(rng) for _ in range(n)]
            made += [Labelled(content, label, split) for content in [*contents, *contents[:1] * copies]]
    return made


def as_folder(data: Sequence[Labelled], root: Path) -> Path:
    for k, (content, label, split) in enumerate(data):
        folder = root / "folder" / (split or ".") / label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{k:04}.png").write_bytes(content)
    return root / "folder"


def _rows(data: Sequence[Labelled], root: Path) -> list[dict[str, str]]:
    """Write the images into one folder, in an order of their own, and return the rows of a manifest."""
    (root / "flat").mkdir(exist_ok=True)
    rows = []
    for k in np.random.default_rng(1).permutation(len(data)).tolist():
        (root / "flat" / f"{k:04}.bin.png").write_bytes(data[k].content)
        row = {"path": f"flat/{k:04}.bin.png", "label": data[k].label}
        rows.append(row if data[k].split is None else {**row, "split": str(data[k].split)})
    return rows


def _delimited(data: Sequence[Labelled], root: Path, suffix: str, delimiter: str, names: dict[str, str]) -> Path:
    rows = _rows(data, root)
    with (root / f"manifest{suffix}").open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, [names.get(key, key) for key in rows[0]], delimiter=delimiter)
        writer.writeheader()
        writer.writerows({names.get(key, key): value for key, value in row.items()} for row in rows)
    return root / f"manifest{suffix}"


def as_csv(data: Sequence[Labelled], root: Path) -> Path:
    return _delimited(data, root, ".csv", ",", {"path": "Filename", "label": "Class", "split": "subset"})


def as_tsv(data: Sequence[Labelled], root: Path) -> Path:
    return _delimited(data, root, ".tsv", "\t", {"path": "image", "label": "target"})


def as_jsonl(data: Sequence[Labelled], root: Path) -> Path:
    lines = [json.dumps(row) for row in _rows(data, root)]
    (root / "manifest.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return root / "manifest.jsonl"


def as_parquet_manifest(data: Sequence[Labelled], root: Path) -> Path:
    parquet.write_table(pa.Table.from_pylist(_rows(data, root)), root / "manifest.parquet")
    return root / "manifest.parquet"


def by_split(data: Sequence[Labelled]) -> dict[str, list[Labelled]]:
    splits = dict.fromkeys(one.split for one in data)
    return {str(split or "all"): [one for one in data if one.split == split][::-1] for split in splits}


def as_shards(data: Sequence[Labelled], root: Path) -> Path:
    (root / "shards").mkdir()
    for split, members in by_split(data).items():
        with tarfile.open(root / "shards" / f"{split}-000.tar", "w") as tar:
            for k, (content, label, _) in enumerate(members):
                suffix, text = (("cls", label), ("txt", label + "\n"), ("json", json.dumps({"label": label})))[k % 3]
                add_member(tar, f"{k:05}.{suffix}", text.encode())
                add_member(tar, f"{k:05}.png", content)
    return root / "shards"


def add_member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def as_tar_of_folders(data: Sequence[Labelled], root: Path) -> Path:
    with tarfile.open(root / "photos.tar", "w") as tar:
        for k, (content, label, split) in enumerate(data):
            add_member(tar, f"photos/{split + '/' if split else ''}{label}/{k}.png", content)
    return root / "photos.tar"


def as_hugging_face(data: Sequence[Labelled], root: Path) -> Path:
    (root / "hub" / "data").mkdir(parents=True)
    names = sorted({one.label for one in data}, reverse=True)  # an order that is not that of the names
    for split, rows in by_split(data).items():
        file = root / "hub" / "data" / f"{split}-00000-of-00001.parquet"
        parquet.write_table(_hugging_face_table(rows, names), file, row_group_size=4)
    return root / "hub"


def _hugging_face_table(rows: Sequence[Labelled], names: Sequence[str]) -> pa.Table:
    """Return the table of ``datasets``, with the class ``names`` in its schema."""
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    image_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table(
        {
            "image": pa.array([{"bytes": one.content, "path": None} for one in rows], image_type),
            "label": pa.array([names.index(one.label) for one in rows]),
        }
    )
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def as_saved_to_disk(data: Sequence[Labelled], root: Path) -> Path:
    """Write the files of ``save_to_disk``: an Arrow stream for each split, and a cache of a computed column."""
    folder, parts = root / "saved", by_split(data)
    for split, rows in parts.items():
        of_split = folder / split if list(parts) != ["all"] else folder
        of_split.mkdir(parents=True)
        name = "data-00000-of-00001.arrow"
        table = _hugging_face_table(rows, sorted({one.label for one in data}, reverse=True))
        with pa.OSFile(str(of_split / name), "wb") as out, pa.ipc.new_stream(out, table.schema) as stream:
            stream.write_table(table, max_chunksize=4)
        (of_split / "cache-0123.arrow").write_bytes(b"no rows of the data set")
        (of_split / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}], "_split": split}))
        (of_split / "dataset_info.json").write_text("{}")
    if list(parts) != ["all"]:
        (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(parts)}))
    return folder


Form = Callable[[Sequence[Labelled], Path], Path]
FORMS: dict[str, Form] = {
    "folder": as_folder,
    "csv": as_csv,
    "tsv": as_tsv,
    "jsonl": as_jsonl,
    "parquet manifest": as_parquet_manifest,
    "shards": as_shards,
    "tar of folders": as_tar_of_folders,
    "hugging face": as_hugging_face,
    "saved to disk": as_saved_to_disk,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Class folders with the splits train, val and test."""
    return as_folder(images(splits=("train", "val", "test")), tmp_path)
