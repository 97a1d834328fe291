"""Zero-shot data from images and articles in each layout, on small files that the tests write."""

import shutil
import tarfile
from hashlib import md5
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet
from scipy.io import savemat

from archsieve.models.data.zero_shot import draw_test_images, validation_folds
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
    (texts / "emu.txt").write_text("an emu")
    data = load_zero_shot("imagefolder", path=image_folder(classes), texts=texts, image_size=8, seen=["cat", "dog"])
    assert data.unseen.tolist() == [2]
    assert "no images, the first is 'emu'" in data.notes[-1]
    assert (len(data.train), len(data.test_seen), len(data.test_unseen)) == (16, 4, 10)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "dog.txt").unlink(), "1 of 2 .*'dog'"),
        (lambda folder: (folder / "dog.txt").write_text(" \n"), r"dog\.txt is empty"),
        (lambda folder: (folder / "dog.txt").write_text("-- !"), "'dog' is '-- !'"),
        (lambda folder: (folder / "dog.txt").write_bytes(b"d\xffg"), r"byte 1 .*dog\.txt"),
        (lambda folder: shutil.copy(folder / "cat.txt", folder / "dog.txt"), "'cat' and 'dog' are equal"),
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


def _published_again(folder: Path, form: str, root: Path) -> Path:
    """Write the images of class folders as a tar file, a Parquet file or a manifest."""
    files = sorted(folder.rglob("*.png"))
    if form == "tar":
        with tarfile.open(root / "images.tar", "w") as tar:
            for file in files:
                tar.add(file, file.relative_to(folder))
        return root / "images.tar"
    if form == "parquet":
        rows = [{"image": file.read_bytes(), "label": file.parent.name} for file in files]
        parquet.write_table(pa.Table.from_pylist(rows), root / "images.parquet")
        return root / "images.parquet"
    lines = [f"{file},{file.parent.name}" for file in files]
    (root / "labels.csv").write_text("\n".join(["path,label", *lines]))
    return root / "labels.csv"


@pytest.mark.parametrize("form", ["tar", "parquet", "csv"])
def test_zero_shot_images_come_in_any_form(form, image_folder, tmp_path):
    classes = ("cat", "dog", "owl")
    texts, folder = write_texts(tmp_path / "texts", classes), image_folder(classes)
    options = {"texts": texts, "image_size": 8, "seen": ["cat", "dog"]}
    expected = load_zero_shot("images", path=folder, **options)
    data = load_zero_shot("images", path=_published_again(folder, form, tmp_path), **options)
    assert data.content_hash == expected.content_hash
    assert data.train.images.equal(expected.train.images)


def test_zero_shot_images_from_arrays(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (30, 8, 8, 3), np.uint8), np.repeat(["cat", "dog", "owl"], 10)
    np.savez(tmp_path / "x.npz", images=images, labels=labels)
    texts = write_texts(tmp_path / "texts", ("cat", "dog", "owl"))
    data = load_zero_shot("images", path=tmp_path / "x.npz", texts=texts, image_size=8, unseen=["owl"])
    assert (len(data.train), len(data.test_seen), len(data.test_unseen)) == (16, 4, 10)
    assert torch.equal(data.test_unseen.images.permute(0, 2, 3, 1), torch.from_numpy(images[20:]))


def _pixels(split) -> set[bytes]:
    return {image.numpy().tobytes() for image in split.images[:]}


@pytest.mark.parametrize("seed", range(4))
def test_copies_are_never_on_both_sides(seed, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog", "owl", "yak"):
        for number in range(12):
            file = tmp_path / "images" / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(file)
            for copy in range(number % 3):
                file.with_name(f"{number}-{copy}.png").write_bytes(file.read_bytes())
    texts = write_texts(tmp_path / "texts", ("cat", "dog", "owl", "yak"))
    options = {"texts": texts, "image_size": 8, "unseen": ["yak"], "seed": seed}
    data = load_zero_shot("images", path=tmp_path / "images", **options)
    assert not _pixels(data.train) & _pixels(data.test_seen)
    assert data.notes == ()
    assert 9 <= len(data.test_seen) <= 18  # about a fifth of 72
    for fold in validation_folds(data, 3, seed=seed):
        assert not _pixels(fold.train) & _pixels(fold.test_seen)
        assert len(fold.test_seen)
    old = load_zero_shot("images", path=tmp_path / "images", decoding_rules=1, **options)
    assert _pixels(old.train) & _pixels(old.test_seen)  # the draw of version 0.1.0, for its runs


def test_groups_are_never_on_both_sides_and_several_labels_are_refused(tmp_path):
    classes = ("cat", "dog", "owl")
    texts, rng, rows = write_texts(tmp_path / "texts", classes), np.random.default_rng(0), list[str]()
    for k in range(36):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / f"{k}.png")
        rows.append(f"{tmp_path / f'{k}.png'},{classes[k % 3]},p{k // 4},2")
    manifest = tmp_path / "labels.csv"
    manifest.write_text("\n".join(["path,label,patient,weight", *rows]))
    group_of = {np.asarray(Image.open(row.split(",")[0])).tobytes(): row.split(",")[2] for row in rows}
    options = {"texts": texts, "image_size": 8, "unseen": ["owl"]}
    for seed in range(4):
        data = load_zero_shot("images", path=manifest, seed=seed, **options)
        train, test = (
            {group_of[image.numpy().transpose(1, 2, 0).tobytes()] for image in split.images[:]}
            for split in (data.train, data.test_seen)
        )
        assert not train & test
        assert any("'weight'" in note for note in data.notes)
        assert any("of test_unseen" in note for note in data.notes)  # patients of seen classes
    manifest.write_text(manifest.read_text().replace(",cat,", ",cat;dog,"))
    with pytest.raises(DataError, match=r"one label each.*labels\.csv"):
        load_zero_shot("images", path=manifest, label_separator=";", **options)


def test_equal_images_of_an_unseen_class_are_noted(image_folder, tmp_path):
    classes = ("cat", "dog", "owl")
    texts, folder = write_texts(tmp_path / "texts", classes), image_folder(classes)
    first = sorted((folder / "cat").iterdir())[0]
    (folder / "owl" / "copy.png").write_bytes(first.read_bytes())
    for seed in range(3):
        data = load_zero_shot("images", path=folder, texts=texts, image_size=8, unseen=["owl"], seed=seed)
        in_train = len(_pixels(data.train) & _pixels(data.test_unseen))
        assert [note.split(" are ")[0] for note in data.notes] == in_train * ["1 of 11 images of test_unseen"]


def test_a_draw_without_copies_is_that_of_version_0_1_0():
    labels = torch.arange(40) % 3
    drawn = draw_test_images(labels, seed=5)
    assert drawn.nonzero().flatten().tolist() == [5, 7, 9, 13, 20, 27, 30, 35, 37]
    assert draw_test_images(labels, seed=5, copies=torch.arange(40)).equal(drawn)


def test_a_class_of_one_image_and_its_copies_is_for_training():
    labels, copies = torch.tensor([0, 0, 0, 1, 1, 1, 1]), torch.tensor([0, 0, 0, 1, 1, 2, 2])
    drawn = draw_test_images(labels, seed=0, copies=copies)
    assert drawn[:3].tolist() == [False] * 3
    assert sorted(drawn[3:].tolist()) == [False, False, True, True]
