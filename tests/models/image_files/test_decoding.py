"""Image folders: their layouts and pixels, and an error that names each bad input."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from archsieve.models.data.registry import load_data
from archsieve.models.data.shapes import describe_data
from archsieve.models.image_files.decoding import Decoding, decode
from archsieve.models.image_files.errors import DataError

Writer = Callable[..., Path]


def pixels(file: Path, **options: object) -> torch.Tensor:
    """Return ``file`` decoded to 4 x 4 pixels."""
    return torch.from_numpy(decode(file, Decoding(4, **options)))  # type: ignore[arg-type]


def test_the_interpolation_is_that_of_pillow_in_decoding_data_and_hash(tmp_path: Path, image_folder: Writer) -> None:
    values = np.random.default_rng(0).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "image.png")
    for name, method in (("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)):
        expected = np.asarray(Image.fromarray(values).resize((4, 4), method)).transpose(2, 0, 1)
        assert np.array_equal(pixels(tmp_path / "image.png", interpolation=name).numpy(), expected)
        crop = np.array([0.5, 0.5, 0.5, 0.5])  # the same interpolation for random crops
        assert decode(tmp_path / "image.png", Decoding(4, interpolation=name), crop=crop).shape == (3, 4, 4)
    root = image_folder()
    data = [load_data("imagefolder", path=root, image_size=8, interpolation=name) for name in ("bilinear", "bicubic")]
    assert data[0].content_hash == load_data("imagefolder", path=root, image_size=8).content_hash
    assert data[0].content_hash != data[1].content_hash
    assert not torch.equal(data[0].train.images[:], data[1].train.images[:])
    assert data[1].decoding == Decoding(8, interpolation="bicubic")


def test_class_folders_are_split(image_folder: Writer) -> None:
    data = load_data("imagefolder", path=image_folder(), image_size=8)
    assert data.classes == ("cat", "dog")
    assert data.input_shape == (3, 8, 8)
    assert data.test is not None
    assert [split.labels.bincount().tolist() for split in (data.train, data.val, data.test)] == [[6, 6], [2, 2], [2, 2]]
    assert data.train.images[data.train.labels == 0].max() < 100 <= data.train.images[data.train.labels == 1].min()


def test_published_splits_are_kept(image_folder: Writer) -> None:
    for part, n in (("train", 5), ("val", 3), ("test", 2)):
        root = image_folder(n=n, within=part)
    data = load_data("imagefolder", path=root, image_size=8)
    assert data.test is not None
    assert (len(data.train), len(data.val), len(data.test)) == (10, 6, 4)


def test_missing_val_is_split_off_and_test_is_not_if_val_exists(image_folder: Writer, tmp_path: Path) -> None:
    root = image_folder(n=10, within="train")
    assert load_data("imagefolder", path=root, image_size=8).test is not None
    image_folder(n=2, within="val")
    data = load_data("imagefolder", path=root, image_size=8)
    assert (len(data.train), len(data.val), data.test) == (20, 4, None)


def test_a_class_may_have_the_name_train(image_folder: Writer) -> None:
    assert load_data("imagefolder", path=image_folder(("train", "plane")), image_size=8).classes == ("plane", "train")


def test_limit_is_the_number_of_images(image_folder: Writer) -> None:
    root = image_folder(n=50)
    for repeat in range(2):
        data = load_data("imagefolder", path=root, image_size=8, limit=20)
        assert len(data.train) + len(data.val) + len(data.test or ()) == 20, repeat


def test_describe_data_opens_no_image(image_folder: Writer) -> None:
    root = image_folder()
    (root / "cat" / "000.png").write_bytes(b"not an image")
    assert describe_data("imagefolder", path=root, image_size=24) == ((3, 24, 24), 2, False)


def test_hidden_files_are_ignored(image_folder: Writer) -> None:
    root = image_folder()
    (root / "cat" / ".DS_Store").write_bytes(b"x")
    (root / ".git").mkdir()
    assert load_data("imagefolder", path=root, image_size=8).n_classes == 2


def test_the_middle_is_cropped_after_the_short_side_is_resized(tmp_path: Path) -> None:
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, 4:8] = (10, 20, 30)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert torch.equal(pixels(tmp_path / "wide.png"), torch.tensor([10, 20, 30]).byte().view(3, 1, 1).expand(3, 4, 4))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "F"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    file = tmp_path / ("image.tiff" if mode in ("CMYK", "I", "F") else "image.png")
    Image.new("L", (6, 6), 255).convert(mode).save(file)
    assert pixels(file, value_range=(0, 255)).shape == (3, 4, 4)


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 65535 // 2, np.uint16)).save(tmp_path / "deep.png")
    assert pixels(tmp_path / "deep.png").unique().tolist() == [127]


def test_a_transparent_palette_gives_no_warning(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 4), (255, 0, 0)).quantize(4)
    image.save(tmp_path / "palette.png", transparency=bytes([0, 128, 255]))
    assert pixels(tmp_path / "palette.png")[0].unique().tolist() == [255]


def empty_class(root: Path) -> None:
    (root / "emu").mkdir()


def zero_bytes(root: Path) -> None:
    (root / "cat" / "zero.png").touch()


def no_image(root: Path) -> None:
    (root / "dog" / "notes.txt").write_text("woof")


def truncated(root: Path) -> None:
    file = root / "dog" / "000.png"
    file.write_bytes(file.read_bytes()[:-200])


def nested(root: Path) -> None:
    (root / "cat" / "black").mkdir()


def too_few(root: Path) -> None:
    for file in sorted((root / "cat").iterdir())[2:]:
        file.unlink()


def huge(root: Path) -> None:
    """Write a PNG of a kilobyte whose header claims 10,000,000,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    (root / "cat" / "000.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def circular(root: Path) -> None:
    (root / "cat" / "000.png").unlink()
    (root / "cat" / "000.png").symlink_to("000.png")


def dangling(root: Path) -> None:
    (root / "cat" / "000.png").unlink()
    (root / "cat" / "000.png").symlink_to("gone.png")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (huge, "000.png .*10000000000 pixels"),
        (circular, "000.png .*symbolic links"),
        (dangling, "000.png .*No such file"),
        (empty_class, "emu is empty"),
        (zero_bytes, "zero.png is empty"),
        (no_image, "notes.txt is text"),
        (truncated, r"000\.png is not: "),
        (nested, "black is a folder"),
        (too_few, "class 'cat' has 2"),
    ],
)
def test_a_bad_folder_is_named(image_folder: Writer, damage: Callable[[Path], None], message: str) -> None:
    root = image_folder()
    damage(root)
    with pytest.raises(DataError, match=message):
        load_data("imagefolder", path=root, image_size=8)


@pytest.mark.parametrize("function", [load_data, describe_data])
@pytest.mark.parametrize(
    ("below", "message"),
    [
        ("nowhere", "nowhere does not"),
        ("cat/000.png", "000.png is a file"),
        ("cat", "cat has none.*CLASS"),
    ],
)
def test_a_path_that_is_no_image_folder(image_folder: Writer, function: object, below: str, message: str) -> None:
    root = image_folder()
    assert callable(function)
    with pytest.raises(DataError, match=message):
        function("imagefolder", path=root / below, image_size=8)


def test_one_class_is_too_few(image_folder: Writer) -> None:
    with pytest.raises(DataError, match="has one, 'cat'"):
        load_data("imagefolder", path=image_folder(("cat",)), image_size=8)


def test_classes_that_differ_between_splits(image_folder: Writer) -> None:
    image_folder(within="train")
    root = image_folder(("cat", "dog", "emu"), within="val")
    with pytest.raises(DataError, match=r"'emu' is in .*val and not in .*train"):
        load_data("imagefolder", path=root, image_size=8)


def test_a_folder_next_to_train_must_be_a_split(image_folder: Writer) -> None:
    image_folder(within="train")
    root = image_folder(within="extra")
    with pytest.raises(DataError, match="'extra'"):
        load_data("imagefolder", path=root, image_size=8)


@pytest.mark.parametrize("part", ["val", "test"])
def test_splits_must_not_share_images(image_folder: Writer, part: str) -> None:
    root = image_folder(within="train")
    image_folder(within=part)
    for k in range(4):
        (root / part / "dog" / f"x{k}.png").write_bytes((root / "train" / "cat" / f"00{k}.png").read_bytes())
    message = rf"train and {part}.*4 of {part}.*x0.png is .* and 1 more"
    with pytest.raises(DataError, match=message):
        load_data("imagefolder", path=root, image_size=8)


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000)
    with pytest.raises(DataError, match=r"huge.png .*4096 pixels"):
        pixels(tmp_path / "huge.png")


def test_the_first_frame_of_an_animation_is_read(tmp_path: Path) -> None:
    frames = [Image.new("L", (6, 6), value) for value in (10, 200, 250)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    assert pixels(tmp_path / "film.gif").unique().tolist() == [10]


@pytest.mark.parametrize("function", [load_data, describe_data])
def test_path_and_size_are_needed(image_folder: Writer, function: object) -> None:
    assert callable(function)
    with pytest.raises(DataError, match="path, but got none"):
        function("imagefolder", image_size=8)
    with pytest.raises(DataError, match="image_size, but got none"):
        function("imagefolder", path=image_folder())
