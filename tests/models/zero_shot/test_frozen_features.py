"""Vectors of a frozen backbone: computed once, kept in the cache, normalised as the weights were trained."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from archsieve.models.data.class_folds import ClassFolds
from archsieve.models.data.dataset import Split
from archsieve.models.data.zero_shot import ZeroShotData, ZeroShotSource
from archsieve.models.networks.backbones import backbone
from archsieve.models.profiling.backbone_costs import measure_backbone
from archsieve.models.storage.choice import CacheLocation
from archsieve.models.zero_shot.frozen_features import FrozenBackbone
from archsieve.spaces.architectures.architecture import Architecture

SMALL = "timm:test_resnet.r160_in1k"
N_TRAIN = 40


@pytest.fixture(scope="module")
def data() -> ZeroShotData:
    """Ten classes of six images of 32 pixels; of the eight seen ones, five images each are for training."""
    images = torch.randint(0, 256, (60, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    names = tuple("abcdefghij")
    samples = Split(images, torch.arange(60) % 10)
    source = ZeroShotSource(names, names, samples, torch.arange(60) >= 50, torch.ones(60, dtype=torch.bool))
    return ZeroShotData.of("noise", source, torch.tensor([8, 9]))


@pytest.fixture(scope="module")
def architecture() -> Architecture:
    return Architecture((3, 32, 32), (measure_backbone(SMALL, (3, 32, 32)),), 16)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_file(backbone(SMALL, classes=0).state_dict(), path)
    return path


def counted(module: nn.Module) -> list[int]:
    """Return a list that gets the number of images of each pass through ``module``."""
    passes: list[int] = []
    module.register_forward_pre_hook(lambda _, arguments: passes.append(len(arguments[0])))
    return passes


def test_each_image_passes_once_for_all_folds_epochs_and_processes(data, architecture, weights, tmp_path):
    folds, cache = ClassFolds.of(data, 4, 0.2, seed=0), CacheLocation(str(tmp_path))
    frozen = FrozenBackbone.of(architecture, weights, data)
    passes = counted(frozen.module)
    of_folds = frozen.data_of_all(folds.folds, cache=cache)
    assert sum(passes) == N_TRAIN
    for fold, vectors in zip(folds.folds, of_folds, strict=True):
        for images, split in ((fold.train, vectors.train), (fold.test_unseen, vectors.test_unseen)):
            pixels = images.images[:].float() / 255
            expected = frozen.module((pixels - frozen.mean.view(-1, 1, 1)) / frozen.std.view(-1, 1, 1))
            assert torch.allclose(split.images.flatten(1), expected, atol=1e-4)
    again = FrozenBackbone.of(architecture, weights, data)  # as another process makes it
    passes = counted(again.module)
    again.data_of_all(folds.folds, cache=cache)
    assert passes == []
    again.data_of(data, cache=cache)  # the training images are known; the images of both tests are new
    assert sum(passes) == len(data.test_seen) + len(data.test_unseen)


def test_other_weights_and_images_have_other_vectors(data, architecture, weights, tmp_path):
    cache = CacheLocation(str(tmp_path))
    one = FrozenBackbone.of(architecture, weights, data).data_of(data, cache=cache)
    random = FrozenBackbone.of(architecture, None, data, seed=1).data_of(data, cache=cache)
    assert not torch.allclose(one.train.images, random.train.images)
    assert one.content_hash not in (random.content_hash, data.content_hash)
    assert len(list(tmp_path.glob("*.features"))) == 3  # random weights are kept nowhere


def test_pretrained_weights_have_their_own_normalisation(data, architecture, weights):
    own = FrozenBackbone.of(architecture, weights, data)
    published = backbone(SMALL, classes=0).pretrained_cfg
    assert own.mean.tolist() == pytest.approx(published["mean"])
    assert own.std.tolist() == pytest.approx(published["std"])
    random = FrozenBackbone.of(architecture, None, data)
    assert torch.equal(random.mean, data.mean)


def test_weights_of_a_checkpoint_fit_and_other_files_are_refused(data, architecture, weights, tmp_path):
    state = backbone(SMALL, classes=0).state_dict()
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "all.pth")
    loaded = FrozenBackbone.of(architecture, tmp_path / "all.pth", data)
    assert torch.equal(next(loaded.module.parameters()), next(iter(state.values())))
    (tmp_path / "junk.pt").write_bytes(b"no weights")
    for name in ("junk.pt", "none.pt"):
        with pytest.raises(ValueError, match=name):
            FrozenBackbone.of(architecture, tmp_path / name, data)


def test_a_network_of_one_input_size_is_a_backbone(data):
    """test_vit takes 160 pixels; it is built for the size of the data."""
    block = measure_backbone("timm:test_vit.r160_in1k", (3, 32, 32))
    vectors = FrozenBackbone.of(Architecture((3, 32, 32), (block,), 16), None, data).data_of(data)
    assert vectors.train.images.shape == (N_TRAIN, block.features, 1, 1)
