"""Zero-shot data from images and articles in each layout, on small files that the tests write."""

from hashlib import md5
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from archsieve.models.data.zero_shot_registry import load_zero_shot
from archsieve.models.image_files.errors import DataError

BIRDS = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross")


def write_texts(folder: Path, classes) -> Path:
    folder.mkdir()
    for name in classes:
        (folder / f"{name}.txt").write_text(f"The {name} is a distinct kind.", encoding="utf-8")
    return folder


def write_image(file: Path, value: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((10, 12, 3), value, dtype=np.uint8)).save(file)


@pytest.fixture
def cub(tmp_path) -> Path:
    root = tmp_path / "CUB_200_2011"
    lists = {"images": [], "image_class_labels": [], "train_test_split": [], "classes": []}
    for k, name in enumerate(BIRDS):
        lists["classes"].append(f"{k + 1} {name}")
        for i in range(4):
            number = 4 * k + i + 1
            write_image(root / "images" / name / f"{i}.jpg", 40 * k)
            lists["images"].append(f"{number} {name}/{i}.jpg")
            lists["image_class_labels"].append(f"{number} {k + 1}")
            lists["train_test_split"].append(f"{number} {int(i < 3)}")
    for name, lines in lists.items():
        (root / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return root


def test_cub_keeps_the_publishers_split(cub, tmp_path):
    texts = write_texts(tmp_path / "texts", BIRDS)
    data = load_zero_shot("cub-200", path=cub, texts=texts, image_size=8, unseen=[BIRDS[2]])
    assert data.classes == BIRDS
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.test_seen.labels.tolist() == [0, 1]
    assert data.test_unseen.labels.tolist() == [2] * 4
    assert int(data.test_unseen.images.float().mean()) == 80
    assert data.texts[0].startswith("The 001.Black")


def test_a_missing_list_of_cub_is_named(cub, tmp_path):
    texts = write_texts(tmp_path / "texts", BIRDS)
    (cub / "train_test_split.txt").unlink()
    with pytest.raises(DataError, match=r"train_test_split\.txt"):
        load_zero_shot("cub-200", path=cub, texts=texts, image_size=8)


def test_flowers_from_the_files_of_torchvision(tmp_path, monkeypatch):
    from torchvision.datasets import Flowers102

    base = tmp_path / "flowers-102"
    labels = np.repeat(np.arange(1, 103), 3)
    for number in range(1, len(labels) + 1):
        write_image(base / "jpg" / f"image_{number:05d}.jpg", int(labels[number - 1]))
    numbers = np.arange(1, len(labels) + 1)
    savemat(base / "imagelabels.mat", {"labels": labels})
    savemat(base / "setid.mat", {"trnid": numbers[0::3], "valid": numbers[1::3], "tstid": numbers[2::3]})
    checksums = {
        key: md5((base / file).read_bytes()).hexdigest()
        for key, (file, _) in Flowers102._file_dict.items()
        if (base / file).exists()
    }
    monkeypatch.setattr(
        Flowers102,
        "_file_dict",
        {k: (f, checksums.get(k, published)) for k, (f, published) in Flowers102._file_dict.items()},
    )
    texts = write_texts(tmp_path / "texts", Flowers102.classes)
    data = load_zero_shot("flowers102", path=tmp_path, texts=texts, image_size=8, unseen_fraction=0.2)
    assert (len(data.seen), len(data.unseen)) == (82, 20)
    assert (len(data.train), len(data.test_seen), len(data.test_unseen)) == (164, 82, 60)
    assert "pink primrose" in data.texts[0]


def test_an_image_folder_with_texts(image_folder, tmp_path):
    classes = ("cat", "dog", "owl")
    texts = write_texts(tmp_path / "texts", classes)
    data = load_zero_shot("imagefolder", path=image_folder(classes), texts=texts, image_size=8, seen=["cat", "dog"])
    assert data.unseen.tolist() == [2]
    assert (len(data.train), len(data.test_seen), len(data.test_unseen)) == (16, 4, 10)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "dog.txt").unlink(), "1 of 2 .*'dog'"),
        (lambda folder: (folder / "dog.txt").write_text(" \n"), r"dog\.txt is empty"),
        (lambda folder: (folder / "dog.txt").write_text("-- !"), "'dog' is '-- !'"),
        (lambda folder: (folder / "dog.txt").write_bytes(b"d\xffg"), r"byte 1 .*dog\.txt"),
        (lambda folder: (folder / "emu.txt").write_text("an emu"), r"1 have none.*emu\.txt"),
    ],
)
def test_texts_must_fit_the_classes(damage, message, image_folder, tmp_path):
    texts = write_texts(tmp_path / "texts", ("cat", "dog"))
    damage(texts)
    with pytest.raises(DataError, match=message):
        load_zero_shot("imagefolder", path=image_folder(("cat", "dog")), texts=texts, image_size=8)


def test_missing_texts_and_unknown_names_are_refused():
    with pytest.raises(DataError, match="texts, but got none"):
        load_zero_shot("imagefolder", path="x", image_size=8)
    with pytest.raises(ValueError, match="'glyphs'"):
        load_zero_shot("glyph")
    with pytest.raises(DataError, match=r"limit .*'imagefolder'.*50"):
        load_zero_shot("imagefolder", path="x", texts="y", image_size=8, limit=50)
