"""Images of any form become the same pixels as the training images, or are refused with what was found."""

import numpy as np
import pytest
import torch
from PIL import Image

from archsieve.models.export.image_input import ImageInput, channels_first, list_images, to_pixels
from archsieve.models.image_files.decoding_rules import Decoding
from archsieve.models.image_files.errors import DataError

COLOUR = ImageInput((3, 8, 8), Decoding(8))
GREY = ImageInput((1, 8, 8), Decoding(8, 1))


@pytest.fixture
def pixels():
    """Four colour images (4, 3, 8, 8), uint8, with 0 and 255 among them."""
    made = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8), dtype=np.uint8)
    made[0, 0, 0, :2] = 0, 255
    return made


def read(images, target=COLOUR, **options):
    batches = list(target.batches(images, batch_size=3, **options))
    assert all(len(batch) <= 3 for batch in batches)
    return torch.cat(batches) if batches else torch.empty(0)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", ">i4", "int64", "uint64"])
def test_integers_of_every_type_are_the_same_pixels(pixels, dtype):
    assert torch.equal(read(pixels.astype(dtype)), torch.from_numpy(pixels))


@pytest.mark.parametrize("dtype", ["float32", "float64", ">f8"])
def test_floats_from_0_to_1_are_kept(pixels, dtype):
    expected = torch.from_numpy(pixels).float() / 255
    assert torch.allclose(read((pixels / 255).astype(dtype)), expected, atol=1e-7)


def test_tensors_are_read_as_arrays_are(pixels):
    tensor = torch.from_numpy(pixels)
    for one in (tensor, tensor.long(), tensor.to(torch.uint16), tensor.to(memory_format=torch.channels_last)):
        assert torch.equal(read(one), tensor)
    assert read((tensor / 255).bfloat16()).dtype == torch.float32


@pytest.mark.parametrize(
    ("values", "facts"),
    [
        (torch.full((1, 3, 8, 8), 255.0), r"float32.*from 255 to 255.*divide them by 255"),
        (torch.linspace(-1, 1, 192).view(1, 3, 8, 8), r"from -1 to 1"),
        (torch.full((1, 3, 8, 8), torch.nan), r"NaN"),
        (torch.full((1, 3, 8, 8), 256), r"int64.*from 256 to 256"),
        (torch.full((1, 3, 8, 8), -1, dtype=torch.int16), r"from -1 to -1"),
        (torch.ones(1, 3, 8, 8, dtype=torch.bool), r"bool"),
        (torch.ones(1, 3, 8, 8, dtype=torch.complex64), r"complex64"),
    ],
)
def test_pixels_outside_the_range_are_refused_with_it(values, facts):
    with pytest.raises(DataError, match=facts):
        read(values)
    with pytest.raises(DataError, match=facts):
        to_pixels(values)


def test_both_orders_of_the_axes_and_one_image_are_accepted(pixels):
    expected, last = torch.from_numpy(pixels), pixels.transpose(0, 2, 3, 1)
    assert torch.equal(read(last), expected)
    assert torch.equal(read(last[0]), expected[:1])
    assert torch.equal(read(pixels[0]), expected[:1])
    assert torch.equal(read(list(last)), expected)
    assert torch.equal(read([pixels[0], last[1]]), expected[:2])
    assert torch.equal(read(last[:, ::-1]), expected.flip(2))
    grey = torch.from_numpy(pixels[:, :1])
    for one in (grey, grey[:, 0], grey.permute(0, 2, 3, 1)):
        assert torch.equal(read(one, GREY), grey)
    for one in (grey[0], grey[0, 0], grey[0].permute(1, 2, 0)):
        assert torch.equal(read(one, GREY), grey[:1])
    assert torch.equal(read(pixels[:2].tolist()), expected[:2])


def test_an_ambiguous_order_is_the_one_with_the_size_of_the_network():
    images = torch.arange(3 * 3 * 5, dtype=torch.uint8).view(1, 3, 3, 5)
    assert torch.equal(channels_first(images, (3, 3, 5)), images)
    assert channels_first(images.permute(0, 2, 3, 1), (3, 3, 5)).shape == (1, 3, 3, 5)
    with pytest.raises(DataError, match=r"3 channels.*\(1, 3, 9, 3\) fits either order"):
        channels_first(torch.zeros(1, 3, 9, 3), (3, 8, 8))


@pytest.mark.parametrize(
    ("images", "facts"),
    [
        (np.zeros((2, 8, 8, 1), np.uint8), r"3 channels.*\(2, 8, 8, 1\) fits neither order.*RGB"),
        (np.zeros((8, 8), np.uint8), r"axes.*\(8, 8\)"),
        (np.uint8(3), r"axes.*\(\)"),
        (np.zeros((2, 3, 8, 9), np.uint8), r"8 x 8 pixels.*8 x 9.*resize=True"),
        ([np.zeros((2, 3, 8, 8), np.uint8)], r"one image in each.*\(2, 3, 8, 8\)"),
        ([object()], r"paths, PIL images or arrays"),
        ({"a": 1}, r"paths, PIL images or arrays|image"),
        ([[1, 2], [3]], r"array of numbers"),
        (np.array(["2026-01-01"], "datetime64[D]"), r"datetime64"),
        ("none.png", r"none\.png"),
    ],
)
def test_what_is_not_an_image_of_the_network_is_refused(images, facts):
    with pytest.raises(DataError, match=facts):
        read(images)


@pytest.mark.parametrize("images", [[], (), np.array([]), np.zeros((0, 3, 8, 8)), torch.zeros(0, 3, 8, 8)])
def test_no_images_are_no_batches(images):
    assert list(COLOUR.batches(images, batch_size=2)) == []


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "RGBA", "P", "1", "CMYK", "I;16", "F"])
def test_a_pil_image_has_the_pixels_of_its_file(tmp_path, mode):
    rng = np.random.default_rng(1)
    colours = Image.fromarray(rng.integers(0, 256, (12, 9, 4), dtype=np.uint8))
    image = {
        "I;16": lambda: Image.fromarray(rng.integers(0, 65536, (12, 9), dtype=np.uint16)),
        "F": lambda: Image.fromarray(rng.random((12, 9), dtype=np.float32)),
    }.get(mode, lambda: colours.convert(mode))()
    file = tmp_path / ("image.tiff" if mode in ("CMYK", "F") else "image.png")
    image.save(file)
    for target in (COLOUR, GREY):
        assert torch.equal(read(image, target), read(file, target))
        assert torch.equal(read([image, str(file)], target), read([file, file], target))


def test_arrays_of_another_size_are_resized_as_files_are(tmp_path):
    pixels = np.random.default_rng(2).integers(0, 256, (2, 20, 13, 3), dtype=np.uint8)
    for k in range(2):
        Image.fromarray(pixels[k]).save(tmp_path / f"{k}.png")
    expected = read(tmp_path)
    assert expected.shape == (2, 3, 8, 8)
    assert torch.equal(read(pixels, resize=True), expected)
    assert torch.equal(read(pixels.transpose(0, 3, 1, 2) / 255, resize=True), expected)
    assert torch.equal(read([pixels[0], pixels[1, :, :12]], resize=True)[:1], expected[:1])


def test_a_network_for_other_shapes_reads_no_files(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
    wide = ImageInput.of((3, 8, 16))
    assert wide.decoding is None
    assert read(torch.zeros(1, 3, 8, 16), wide).shape == (1, 3, 8, 16)
    with pytest.raises(DataError, match=r"\(3, 8, 16\)"):
        read(tmp_path, wide)
    with pytest.raises(DataError, match=r"\(3, 8, 16\)"):
        read(torch.zeros(1, 3, 8, 8), wide, resize=True)


def test_a_folder_is_its_images_in_order_without_hidden_files(tmp_path):
    for name in ("b.png", "a/2.JPG", ".hidden.png", ".git/x.png", "__MACOSX/y.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    listing = list_images(tmp_path)
    assert [file.relative_to(tmp_path).as_posix() for file in listing.images] == ["a/2.JPG", "b.png"]
    assert listing.others == 1
    assert len(read([tmp_path, tmp_path / "b.png"])) == 3
    for file in listing.images:
        file.unlink()
    with pytest.raises(DataError, match=rf"{tmp_path} .*notes\.txt"):
        list_images(tmp_path)


def test_a_file_that_cannot_be_decoded_is_named_and_the_others_are_read(tmp_path):
    Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"not an image")
    files = [tmp_path / "bad.png", tmp_path / "good.png"]
    pixels, positions, bad = COLOUR.files(files)
    assert (pixels.shape, positions, [position for position, _ in bad]) == ((1, 3, 8, 8), [1], [0])
    assert "bad.png" in bad[0][1]
    with pytest.raises(DataError, match=r"bad\.png"):
        read(files)
