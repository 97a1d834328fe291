"""Networks of torchvision for every task have the multiply-accumulates that torchvision publishes."""

import pytest
import torchvision

from archsieve.models.profiling.library_networks import profile_library_network


@pytest.mark.parametrize(
    "name",
    ["vit_b_16", "r3d_18", "lraspp_mobilenet_v3_large", "ssdlite320_mobilenet_v3_large", "quantized_mobilenet_v2"],
)
def test_macs_are_those_that_torchvision_publishes(name):
    profile = profile_library_network(f"torchvision:{name}")
    published = torchvision.models.get_model_weights(name).DEFAULT.meta["_ops"]
    assert round(profile.macs / 1e9, 3) == pytest.approx(published, abs=0.002)
    assert profile.unknown == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", torchvision.models.list_models())
def test_every_network_has_the_macs_that_torchvision_publishes(name):
    profile = profile_library_network(f"torchvision:{name}")
    assert min(profile.params, profile.macs, profile.activations) > 0
    weights = torchvision.models.get_model_weights(name)
    if not len(weights) or name in OTHER_INPUTS:
        return
    published, size = weights.DEFAULT.meta["_ops"], getattr(weights.DEFAULT.transforms(), "crop_size", [None])[0]
    if size not in (None, profile.input_shape[-1]):  # published for larger images
        profile = profile_library_network(f"torchvision:{name}", (3, size, size))
    assert profile.macs / 1e9 == pytest.approx(published, rel=1e-3, abs=2e-3)


# The cost of a detector depends on the boxes that it proposes, and random weights propose others. The published counts
# of segmentation include an auxiliary classifier; those of optical flow are for fewer steps.
OTHER_INPUTS = {
    *("fasterrcnn_mobilenet_v3_large_320_fpn", "fasterrcnn_mobilenet_v3_large_fpn", "keypointrcnn_resnet50_fpn"),
    *("maskrcnn_resnet50_fpn_v2", "raft_large", "raft_small"),
    *("deeplabv3_mobilenet_v3_large", "deeplabv3_resnet50", "deeplabv3_resnet101", "fcn_resnet50", "fcn_resnet101"),
}


def test_optical_flow_takes_two_images():
    assert profile_library_network("torchvision:raft_small", (3, 128, 128)).attention_macs > 0


@pytest.mark.parametrize(
    ("name", "shape", "pattern"),
    [
        ("torchvision:r3d_18", (3, 112, 112), "4 sides.*3x16x112x112"),
        ("torchvision:vit_b_16", (3, 250, 250), "250 pixels"),
        ("torchvision:vit_b_16", (3, 224, 240), r"\(3, 224, 224\)"),
    ],
)
def test_a_refused_size_is_one_sentence(name, shape, pattern):
    with pytest.raises(ValueError, match=pattern):
        profile_library_network(name, shape)
