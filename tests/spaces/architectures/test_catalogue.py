"""The catalogue: the costs of every published network equal those of its paper or of torchvision exactly."""

from dataclasses import replace

import pytest

from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.catalogue import CATALOGUE, named
from archsieve.spaces.architectures.cost import cost, layer_costs
from archsieve.spaces.architectures.reference_networks import GOOGLENET_STAGES
from archsieve.spaces.blocks.base import ShapeError
from archsieve.spaces.blocks.standard import Inception

# name: (params, macs)
PUBLISHED_COSTS = {
    "alexnet": (61_100_840, 714_188_480),
    "alexnet-2012": (60_965_224, 724_406_816),
    "alexnet-2012-merged": (62_378_344, 1_135_256_096),
    "zfnet": (62_357_608, 1_168_032_896),
    "vgg11": (132_863_336, 7_609_090_048),
    "vgg13": (133_047_848, 11_308_466_176),
    "vgg16": (138_357_544, 15_470_264_320),
    "vgg19": (143_667_240, 19_632_062_464),
    "vgg11-bn": (132_866_088, 7_609_090_048),
    "vgg13-bn": (133_050_792, 11_308_466_176),
    "vgg16-bn": (138_361_768, 15_470_264_320),
    "vgg19-bn": (143_672_744, 19_632_062_464),
    "googlenet": (6_624_904, 1_498_376_192),
    "googlenet-2014": (6_998_552, 1_582_671_872),
    "bn-inception": (11_194_984, 2_018_851_840),
    "prelu-net": (178_032_072, 19_058_106_368),
    "prelu-net-b": (183_343_048, 23_219_904_512),
    "prelu-net-c": (330_623_944, 53_463_130_112),
    "resnet18": (11_689_512, 1_814_073_344),
    "resnet34": (21_797_672, 3_663_761_408),
    "resnet34-a": (21_623_848, 3_644_493_824),
    "resnet34-c": (22_716_840, 3_830_747_136),
    "plain18": (11_515_688, 1_794_805_760),
    "plain34": (21_623_848, 3_644_493_824),
    "resnet50": (25_557_032, 4_089_184_256),
    "resnet101": (44_549_160, 7_801_405_440),
    "resnet152": (60_192_808, 11_513_626_624),
    "resnet50-v1": (25_557_032, 3_857_973_248),
    "resnet101-v1": (44_549_160, 7_570_194_432),
    "resnet152-v1": (60_192_808, 11_282_415_616),
    "resnet20-cifar": (269_722, 40_551_040),
    "resnet32-cifar": (464_154, 68_862_592),
    "resnet44-cifar": (658_586, 97_174_144),
    "resnet56-cifar": (853_018, 125_485_696),
    "resnet110-cifar": (1_727_962, 252_887_680),
    "plain20-cifar": (269_722, 40_551_040),
    "plain32-cifar": (464_154, 68_862_592),
    "plain44-cifar": (658_586, 97_174_144),
    "plain56-cifar": (853_018, 125_485_696),
    # torchvision 0.29.2, counted by torch on the meta device
    "mobilenet_v2": (3_504_872, 300_774_272),
    "mobilenet_v3_small": (2_542_856, 56_510_400),
    "mobilenet_v3_large": (5_483_032, 216_589_760),
    "mnasnet0_5": (2_218_512, 104_455_968),
    "mnasnet1_0": (4_383_312, 314_415_872),
    "efficientnet_b0": (5_288_548, 385_814_752),
    "efficientnet_b1": (7_794_184, 569_651_680),
    "efficientnet_v2_s": (21_458_488, 2_849_895_872),
    "shufflenet_v2_x0_5": (1_366_792, 40_476_448),
    "shufflenet_v2_x1_0": (2_278_604, 144_907_992),
    "squeezenet1_0": (1_248_424, 818_924_576),
    "squeezenet1_1": (1_235_496, 349_151_936),
    "densenet121": (7_978_856, 2_834_161_664),
    "resnext50_32x4d": (25_028_904, 4_230_479_872),
    "wide_resnet50_2": (68_883_240, 11_398_021_120),
    "regnet_x_400mf": (5_495_976, 413_812_608),
    "regnet_y_400mf": (4_344_144, 401_842_848),
    "convnext_tiny": (28_589_128, 4_455_531_264),
    "inception_v3": (23_834_568, 5_713_216_096),
}
OF_TORCHVISION = [name for name in PUBLISHED_COSTS if "_" in name or name in ("mnasnet0_5", "densenet121")]
REMOVALS = [(7,), (6, 7), (3, 4), (3, 4, 6, 7)]
SAVED_PARAMS = {
    "alexnet-2012": (16_781_312, 49_414_144, 1_696_512, 51_110_656),
    "alexnet-2012-merged": (16_781_312, 49_414_144, 2_507_520, 51_921_664),
    "alexnet": (16_781_312, 49_414_144, 1_696_384, 51_110_528),
}
ALEXNET_LAYERS = {
    "conv1": (34_944, 105_415_200),
    "conv2": (307_456, 223_948_800),
    "conv3": (885_120, 149_520_384),
    "conv4": (663_936, 112_140_288),
    "conv5": (442_624, 74_760_192),
    "fc6": (37_752_832, 37_748_736),
    "fc7": (16_781_312, 16_777_216),
    "fc8": (4_097_000, 4_096_000),
}


@pytest.mark.parametrize("name", CATALOGUE)
def test_costs_are_the_published_ones(name):
    total = cost(named(name))
    assert (total.params, total.macs) == PUBLISHED_COSTS[name]


def test_vgg_with_norm_lacks_only_the_unused_biases_of_torchvision():
    biases = 2 * 64 + 2 * 128 + 3 * 256 + 6 * 512
    assert cost(named("vgg16-bn")).params == 138_365_992 - biases


def test_every_network_of_the_catalogue_has_published_costs():
    assert set(PUBLISHED_COSTS) == set(CATALOGUE)


@pytest.mark.parametrize(
    "name", ["alexnet", "vgg11", "vgg13", "googlenet", "resnet18", "resnet50", *sorted(OF_TORCHVISION)]
)
def test_parameter_shapes_equal_those_of_torchvision(name):
    torch = pytest.importorskip("torch")
    models = pytest.importorskip("torchvision").models
    with_auxiliary_head = name in ("googlenet", "inception_v3")
    extra = {"aux_logits": False, "init_weights": False} if with_auxiliary_head else {}
    # torchvision computes the widths of a RegNet with tensors, which have no values on the meta device
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        reference = models.get_model(name, weights=None, **extra)
    from archsieve.models.networks.build import build

    network = build(named(name), device="meta")
    assert parameter_shapes(network) == parameter_shapes(reference)


def parameter_shapes(module):
    # torchvision writes some 1x1 convolutions as linear layers: their weights differ only in trailing ones
    def of(parameter):
        shape = tuple(parameter.shape)
        return shape[:2] if shape[2:] == (1, 1) else shape

    return sorted(map(of, module.parameters()))


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1"])
def test_outputs_equal_those_of_torchvision(name):
    """With the same weights, in the order of the modules, both networks give the same scores."""
    torch = pytest.importorskip("torch")
    models = pytest.importorskip("torchvision").models
    from archsieve.models.networks.build import build

    torch.manual_seed(0)
    reference, network = models.get_model(name, weights=None).eval(), build(named(name), seed=0).eval()
    ours, theirs = network.state_dict(), reference.state_dict()
    assert [value.numel() for value in ours.values()] == [value.numel() for value in theirs.values()]
    network.load_state_dict({key: value.view_as(ours[key]) for key, value in zip(ours, theirs.values(), strict=True)})
    for module in reference.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-5  # 1e-3 in some of torchvision's networks
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(network(images), reference(images), atol=1e-4)


@pytest.mark.parametrize("name", SAVED_PARAMS)
@pytest.mark.parametrize("index", range(len(REMOVALS)))
def test_removal_saves_the_published_params(name, index):
    whole, reduced = cost(named(name)), cost(named(name, remove=REMOVALS[index]))
    assert whole.params - reduced.params == SAVED_PARAMS[name][index]


@pytest.mark.parametrize(("remove", "share"), [((7,), 2.3), ((6, 7), 6.8), ((3, 4), 39.6), ((3, 4, 6, 7), 46.4)])
def test_removal_saves_its_share_of_the_macs(remove, share):
    whole, reduced = cost(named("alexnet-2012")), cost(named("alexnet-2012", remove=remove))
    assert round(100 * (1 - reduced.macs / whole.macs), 1) == share


def test_without_layers_6_and_7_layer_8_follows_layer_5():
    last = layer_costs(named("alexnet-2012", remove=(6, 7)))[-1]
    assert (last.name, last.in_shape, last.out_shape) == ("fc6", (9216,), (1000,))


def test_layer_5_keeps_its_groups_after_removed_layers():
    rows = {row.name: row for row in layer_costs(named("alexnet-2012", remove=(3, 4)))}
    assert rows["conv3"].in_shape == (256, 13, 13)
    assert rows["conv3"].params == 256 * 128 * 9 + 256


def test_layer_table_of_alexnet_is_the_published_one():
    rows = {row.name: (row.params, row.macs) for row in layer_costs(named("alexnet-2012")) if row.macs}
    assert rows == ALEXNET_LAYERS


@pytest.mark.parametrize("name", ["alexnet-2012", "googlenet", "bn-inception", "resnet34", "prelu-net"])
def test_layer_table_sums_to_the_cost(name):
    architecture = named(name)
    rows, total = layer_costs(architecture), cost(architecture)
    for key in ("params", "macs", "activations"):
        assert sum(getattr(row, key) for row in rows) == getattr(total, key)
    assert len({row.name for row in rows}) == len(rows)


MODULE_INPUTS = ((192, 256), (480, 512, 512, 512, 528), (832, 832))  # channels, by table 1 of Szegedy et al. 2014
MODULE_SIDES = (28, 14, 7)


def module_macs(channels, side, branches, five, reduce):
    """Return the MACs of one inception module, computed independently: the sum over its four branches."""
    one, reduce_three, three, reduce_five, last, pool = branches
    large = 9 * three, five * five * last
    windows = (
        channels * (reduce_three + reduce_five) + reduce_three * large[0] + reduce_five * large[1]
        if reduce
        else channels * sum(large)
    )
    return side * side * (channels * (one + pool) + windows)


@pytest.mark.parametrize(("reduce", "macs"), [(True, 128_049_152), (False, 308_281_344)])
def test_reductions_cut_the_macs_of_one_module(reduce, macs):
    """Module 3a of GoogLeNet (256 channels of 28 x 28 pixels) has 41.5 % of the MACs that it has without reductions."""
    module = Inception(branches=GOOGLENET_STAGES[0][0], reduce=reduce, norm=False)
    network = Architecture((192, 28, 28), (module,), 10)
    assert sum(row.macs for row in layer_costs(network)[:-1]) == macs
    assert module_macs(192, 28, GOOGLENET_STAGES[0][0], 5, reduce) == macs


@pytest.mark.parametrize(
    ("name", "five", "plain"), [("googlenet", 3, 3_281_731_584), ("googlenet-2014", 5, 4_426_547_200)]
)
def test_reductions_cut_the_macs_of_googlenet_by_more_than_half(name, five, plain):
    whole = named(name)
    blocks = tuple(replace(block, reduce=False) if isinstance(block, Inception) else block for block in whole.blocks)
    without = replace(whole, blocks=blocks)
    assert cost(without).macs == plain > 2 * cost(whole).macs
    modules = [
        (channels, side, branches)
        for inputs, side, stage in zip(MODULE_INPUTS, MODULE_SIDES, GOOGLENET_STAGES, strict=True)
        for channels, branches in zip(inputs, stage, strict=True)
    ]
    saved = sum(module_macs(*module, five, False) - module_macs(*module, five, True) for module in modules)
    assert cost(without).macs - cost(whole).macs == saved
    assert cost(without).params > cost(whole).params


def test_bn_inception_has_the_shapes_of_the_paper():
    out_shapes = [placed.out_shape for placed in named("bn-inception").walk()][5:15]
    assert [c for c, _, _ in out_shapes] == [256, 320, 576, 576, 576, 576, 576, 1024, 1024, 1024]
    assert [side for _, side, _ in out_shapes] == [28, 28, 14, 14, 14, 14, 14, 7, 7, 7]


def test_pyramid_of_prelu_net_has_63_bins():
    rows = {row.name: row for row in layer_costs(named("prelu-net"))}
    assert rows["fc17"].in_shape == (512 * (49 + 9 + 4 + 1),)


def test_input_shape_and_classes_can_be_replaced():
    architecture = named("resnet20-cifar", input_shape=(1, 8, 8), classes=7)
    assert (architecture.input_shape, architecture.classes) == ((1, 8, 8), 7)
    assert cost(architecture).params == 269_722 - 2 * 16 * 9 - 3 * 65


def test_input_too_small_names_the_block():
    with pytest.raises(ShapeError, match=r"block 18 \(pool\): .*kernel 2 .*1 pixels"):
        named("vgg16", input_shape=(3, 16, 16))


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"network 'resnet-18'.*'resnet18'"):
        named("resnet-18")


@pytest.mark.parametrize(("name", "layer"), [("alexnet", 8), ("alexnet", 0), ("resnet18", 2), ("googlenet", 4)])
def test_layer_that_cannot_be_removed_is_refused(name, layer):
    with pytest.raises(ValueError, match=rf"{name} .*layer {layer}; .*\b1\b"):
        named(name, remove=(layer,))


def test_removal_that_does_not_fit_names_the_block():
    with pytest.raises(ShapeError, match=r"block \d+ \(conv\): groups "):
        named("alexnet-2012", remove=(1,))
