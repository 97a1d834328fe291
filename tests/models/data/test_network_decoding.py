"""Image files are resized as each published network expects: by its interpolation and its crop."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from archsieve.models.data.folds import cross_folds
from archsieve.models.data.normalisation import decoded, decoding_for, prepared_for
from archsieve.models.data.registry import load_data
from archsieve.models.export.classifier import ImageModel
from archsieve.models.image_files.decoding import decode
from archsieve.models.image_files.decoding_rules import Decoding
from archsieve.models.image_files.errors import DataError
from archsieve.models.networks.compute import CPU
from archsieve.models.storage.choice import StorageOptions
from archsieve.models.training.retrain import retrain
from archsieve.search.tasks.classification import ImageTrialContext
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.networks.table import network_table
from archsieve.spaces.recipes.recipe import Recipe

BICUBIC, BILINEAR = "timm:test_efficientnet", "torchvision:shufflenet_v2_x0_5"
SIDE = 160


def photograph(path, width, height, seed):
    """Write a smooth image with edges: like a photograph it has structure at every scale."""
    rng = np.random.default_rng(seed)
    parts = [rng.integers(0, 256, (height // k + 2, width // k + 2, 3), dtype=np.uint8) for k in (4, 16, 60)]
    layers = [
        np.asarray(Image.fromarray(part).resize((width, height), Image.Resampling.BICUBIC), float) for part in parts
    ]
    Image.fromarray(np.uint8(layers[0] * 0.2 + layers[1] * 0.3 + layers[2] * 0.5)).save(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("photographs")
    for number in range(20):
        file = root / f"class {number % 2}" / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        photograph(file, 200, 180, number)
    return root


def network(name):
    """Return the network ``name`` on images of 64 pixels, which it makes of those of the data, for two classes."""
    return Architecture((3, SIDE, SIDE), (network_table()[name].block(64),), 2)


@pytest.mark.parametrize("name", ["test_efficientnet", "mobilenetv3_small_100", "inception_v3", "convnext_atto"])
def test_the_pixels_are_those_of_the_transform_of_timm(tmp_path, name):
    data = pytest.importorskip("timm.data")
    import timm

    facts = network_table()[f"timm:{name}"]
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    expected = data.create_transform(**config, normalize=False)
    decoding = Decoding(facts.size, interpolation=facts.interpolation, crop_pct=facts.crop_pct)
    for number, (width, height) in enumerate([(640, 480), (300, 451), (230, 231), (1200, 800)]):
        file = photograph(tmp_path / f"{number}.png", width, height, number)
        theirs = np.asarray(expected(Image.open(file)), float).reshape(3, facts.size, facts.size)
        difference = np.abs(decode(file, decoding) - theirs)
        # ours averages whole blocks down to twice the size first, if the image is larger than that
        assert difference.mean() < 0.5, (width, height)
        assert difference.max() <= 2, (width, height)
        other = np.abs(decode(file, Decoding(facts.size, interpolation=facts.interpolation)) - theirs)
        assert facts.crop_pct == 1 or other.mean() > 5  # without the crop it is another image


def test_a_crop_that_cannot_work_is_refused():
    for value in (0, 1.2, -1, True, "half", float("nan")):
        with pytest.raises(DataError, match=r"crop_pct must be .* above 0"):
            Decoding(8, crop_pct=value)
    with pytest.raises(DataError, match="resize"):
        Decoding(8, resize="pad", crop_pct=0.5)
    with pytest.raises(DataError, match=r"0\.1\.0"):
        Decoding(8, rules=1, crop_pct=0.5)
    # names of cache files and hashes of data without a crop are those of the versions before it
    assert "crop_pct" not in Decoding(8).to_json()
    assert Decoding.from_json(Decoding(8, crop_pct=0.5).to_json()) == Decoding(8, crop_pct=0.5)


@pytest.mark.parametrize("kind", ["memory", "cache", "stream"])
def test_each_network_has_its_own_images_in_the_same_splits(folder, tmp_path, kind):
    storage = StorageOptions(kind, str(tmp_path))
    auto = {"interpolation": "auto", "crop_pct": "auto"}
    data = load_data("images", path=folder, image_size=SIDE, storage=storage, **auto)
    plain = load_data("images", path=folder, image_size=SIDE, storage=storage)
    assert data.decoding == plain.decoding == Decoding(SIDE)
    assert torch.equal(data.train.images[:], plain.train.images[:])
    assert data.content_hash != plain.content_hash  # trials of the one are not those of the other
    data = pickle.loads(pickle.dumps(data))  # as it reaches a worker
    hashes = {data.content_hash}
    for name in (BICUBIC, BILINEAR):
        facts = network_table()[name]
        assert facts.crop_pct < 1
        options = {"interpolation": facts.interpolation, "crop_pct": facts.crop_pct}
        fixed = load_data("images", path=folder, image_size=SIDE, storage=storage, **options)
        own = prepared_for(data, network(name))
        assert own.decoding == fixed.decoding == Decoding(SIDE, **options)
        assert own.mean.tolist() == pytest.approx(list(facts.mean))
        for split, expected in zip(own.splits, fixed.splits, strict=True):
            assert torch.equal(split.images[:], expected.images[:])
            assert torch.equal(split.labels, expected.labels)
        folds = zip(cross_folds(own, 2, seed=0), cross_folds(fixed, 2, seed=0), strict=True)
        assert all(torch.equal(one.val.images[:], other.val.images[:]) for one, other in folds)
        hashes.add(own.content_hash)
        assert decoded(plain, own.decoding) is plain  # its interpolation and crop are set
        assert decoding_for(plain, network(name)) == plain.decoding
    assert len(hashes) == 3  # features of the images are kept by this hash


def test_a_worker_and_a_saved_model_use_the_images_of_the_network(folder, tmp_path):
    storage = StorageOptions("memory", str(tmp_path))
    auto = {"interpolation": "auto", "crop_pct": "auto"}
    data = load_data("images", path=folder, image_size=SIDE, storage=storage, **auto)
    context = ImageTrialContext(data, CPU.device, precision="fp32", folds=None, fold_seed=0)
    recipe = Recipe(epochs=1, batch_size=8, train="head")
    for name in (BICUBIC, BILINEAR, BICUBIC):
        architecture, facts = network(name), network_table()[name]
        fit = context.fit(architecture, recipe, 0)
        expected = prepared_for(data, architecture)
        assert torch.equal(context.data.val.images[:], expected.val.images[:])
        fit.step()
        trained = retrain(architecture, recipe, data, seed=0)
        assert trained.best.val_loss == pytest.approx(fit.best.val_loss)
        model = ImageModel.of(architecture, trained.weights, data, {})
        assert model.input.decoding == Decoding(SIDE, interpolation=facts.interpolation, crop_pct=facts.crop_pct)
        # a saved model predicts files as it was trained
        model.save(tmp_path / "model.safetensors")
        again = ImageModel.load(tmp_path / "model.safetensors")
        assert again.input == model.input
