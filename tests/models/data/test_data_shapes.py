"""Shapes of data sets, described by a process that does not import torch."""

import subprocess
import sys
from pathlib import Path

from archsieve.models.data.registry import load_data
from archsieve.models.data.shapes import count_training_images


def test_describe_data_does_not_import_torch() -> None:
    code = (
        "import sys; from archsieve.models.data.shapes import describe_data; print(describe_data('svhn')); "
        "sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout == "DataShape(input_shape=(3, 32, 32), n_classes=10, multi_label=False)\n"


def test_count_training_agrees_with_the_loaded_data() -> None:
    data = load_data("digits")
    assert count_training_images("digits") == len(data.train) + len(data.val)


def test_training_images_are_counted_with_the_columns_and_folders_of_the_search(tmp_path: Path) -> None:
    for name in ("bird/owl/0.png", "bird/owl/1.png", "bird/tit/2.png", "cat/3.png"):
        (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "a" / name).write_bytes(b"")
    assert count_training_images("images", path=tmp_path / "a", nested=True) == 4
    rows = ["a/bird/owl/0.png,x,owl", "a/bird/owl/1.png,x,tit", "a/bird/tit/2.png,x,owl"]
    (tmp_path / "m.csv").write_text("\n".join(["path,label,species", *rows]))
    assert count_training_images("images", path=tmp_path / "m.csv", columns={"label": "species"}) == 3
