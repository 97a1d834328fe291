"""Regularisation: DropConnect, L1, L2, sparse activations; also local contrast normalisation and initialisation."""

import pytest
import torch
from torch import Tensor, nn

from archsieve.models.data.registry import ImageData
from archsieve.models.networks.build import build, build_for
from archsieve.models.networks.modules import (
    DropConnectLinear,
    LocalContrastModule,
    moment_matched_mean,
    preactivation_moments,
)
from archsieve.models.optimization.optimizers import make_optimizer
from archsieve.models.optimization.regularization import ActivationPenalty, l1_proximal_step
from archsieve.models.training.trainer import Fit
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.cost import cost
from archsieve.spaces.blocks.standard import Conv, GlobalAverage, Linear, LocalContrast, block_from_json
from archsieve.spaces.recipes.recipe import Recipe


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def layer() -> DropConnectLinear:
    torch.manual_seed(0)
    return DropConnectLinear(200, 6, drop=0.5)


def test_the_moments_agree_with_random_masks(layer: DropConnectLinear) -> None:
    x, n = torch.rand(1, 200, generator=rng()), 4000
    torch.manual_seed(1)
    drawn = torch.cat([layer(x) for _ in range(n)]).detach()
    mean, variance = (moment.detach()[0] for moment in preactivation_moments(layer, x))
    assert ((drawn.mean(0) - mean).abs() < 3 * (variance / n).sqrt()).all()
    torch.testing.assert_close(drawn.var(0), variance, rtol=0.1, atol=0)


def test_moment_matching_agrees_with_random_masks_within_three_standard_errors(layer: DropConnectLinear) -> None:
    x, n = torch.rand(1, 200, generator=rng()), 4000
    torch.manual_seed(1)
    drawn = torch.relu(torch.cat([layer(x) for _ in range(n)])).detach()
    expected = moment_matched_mean(layer, x, torch.relu, n=20 * n, generator=rng(2)).detach()[0]
    error = drawn.std(0) * (1 / n + 1 / (20 * n)) ** 0.5
    assert ((drawn.mean(0) - expected).abs() <= 3 * error).all()
    assert not torch.allclose(expected, torch.relu(preactivation_moments(layer, x)[0]), atol=1e-3)


def test_dropconnect_uses_all_weights_outside_training(layer: DropConnectLinear) -> None:
    x = torch.rand(3, 200, generator=rng())
    plain = nn.functional.linear(x, layer.weight, layer.bias)
    assert not torch.equal(layer.train()(x), plain)
    assert torch.equal(layer.eval()(x), plain)


def net(*blocks: object) -> Architecture:
    return Architecture((1, 8, 8), (*blocks, Conv(4), GlobalAverage(), Linear(12)), 10)  # type: ignore[arg-type]


def test_dropout_options_change_neither_cost_nor_initial_weights() -> None:
    architecture = net()
    recipe = Recipe(dropout=0.2, dropconnect=0.5)
    plain, regularised = build(architecture, seed=0), build_for(architecture, recipe, seed=0)
    assert sum(isinstance(layer, DropConnectLinear) for layer in regularised.modules()) == 2
    assert sum(p.numel() for p in regularised.parameters()) == cost(architecture).params
    assert all(map(torch.equal, plain.parameters(), regularised.parameters()))


@pytest.mark.parametrize(("init", "variance"), [("he", 2 / 400), ("glorot", 2 / (400 + 300))])
def test_the_variance_of_an_initialisation_is_that_of_its_paper(init: str, variance: float) -> None:
    architecture = Architecture((1, 20, 20), (Linear(300),), 10)
    network = build(architecture, init=init, seed=0)
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Linear))
    assert float(first.weight.detach().var()) == pytest.approx(variance, rel=0.02)
    assert not first.bias.any()


@pytest.mark.parametrize("scale", [(0.25, 0.5), (3.0, -7.0), (100.0, 0.0)])
@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (2, 3, 17, 12), (1, 4, 2, 2)], ids=str)
def test_local_contrast_is_invariant_to_brightness_and_contrast(
    scale: tuple[float, float], shape: tuple[int, ...]
) -> None:
    x, (a, b) = torch.rand(shape, generator=rng()), scale
    module = LocalContrastModule()
    torch.testing.assert_close(module(a * x + b), module(x), atol=1e-4, rtol=1e-3)


def test_local_contrast_of_a_constant_image_is_zero_with_finite_gradients() -> None:
    flat = torch.full((1, 2, 8, 8), 0.3, requires_grad=True)
    out = LocalContrastModule()(flat)
    assert out.abs().max() < 1e-2
    out.sum().backward()
    assert flat.grad is not None
    assert flat.grad.isfinite().all()


def test_local_contrast_is_a_block_without_parameters() -> None:
    block = LocalContrast(5)
    assert block_from_json(block.to_json()) == block
    with pytest.raises(ValueError, match="local-contrast: kernel must be an odd whole number"):
        LocalContrast(4)
    with_it, without = net(block), net()
    assert cost(with_it).params == cost(without).params == sum(p.numel() for p in build(with_it).parameters())
    assert cost(with_it).macs == cost(without).macs
    assert cost(with_it).memory_bytes > cost(without).memory_bytes
    assert with_it.fingerprint != without.fingerprint


def test_an_l1_step_makes_exact_zeros_in_weights_only() -> None:
    module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 4))
    before = [p.detach().clone() for p in module.parameters()]
    l1_proximal_step(module, make_optimizer(module, Recipe(lr=0.5)), 0.1)
    conv, conv_bias, scale, shift, linear, linear_bias = module.parameters()
    for new, old in ((conv, before[0]), (linear, before[4])):
        assert torch.equal(new == 0, old.abs() <= 0.05)
        assert (new == 0).any()
        nonzero = new != 0
        torch.testing.assert_close(new[nonzero], old[nonzero] - 0.05 * old[nonzero].sign())
    assert all(map(torch.equal, (conv_bias, scale, shift, linear_bias), (before[1], *before[2:4], before[5])))


def test_weight_decay_applies_to_weights_only() -> None:
    module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 4))
    before = [p.detach().clone() for p in module.parameters()]
    optimizer = make_optimizer(module, Recipe(lr=0.5, momentum=0.0, weight_decay=0.1))
    for p in module.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for index, (new, old) in enumerate(zip(module.parameters(), before, strict=True)):
        torch.testing.assert_close(new.detach(), old * (1 - 0.5 * 0.1) if index in (0, 4) else old)


def active_fraction(recipe: Recipe, data: ImageData, network: nn.Sequential) -> float:
    run = Fit(network, data, recipe, seed=0)
    while not run.done:
        run.step()
    fractions: list[Tensor] = []
    for layer in network.modules():
        if isinstance(layer, nn.ReLU):
            layer.register_forward_hook(lambda m, x, y: fractions.append((y > 0).float().mean()))
    network.eval()(data.normalise(data.val.images))
    return float(torch.stack(fractions).mean())


def test_a_penalty_on_activations_makes_fewer_units_active(few_digits: ImageData) -> None:
    def mlp() -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 10)
        )

    fractions = [
        active_fraction(Recipe(epochs=8, batch_size=16, lr=0.03, activation_l1=weight), few_digits, mlp())
        for weight in (0.0, 0.3, 3.0)
    ]
    assert fractions == sorted(fractions, reverse=True)
    assert fractions[2] < 0.6 * fractions[0]


def test_a_penalty_needs_nonlinearities_and_leaves_no_hook() -> None:
    with pytest.raises(ValueError, match=r"activation_l1 .*nonlinearities"):
        ActivationPenalty(nn.Sequential(nn.Linear(2, 2)))
    layer = nn.ReLU()
    with ActivationPenalty(nn.Sequential(layer)) as penalty:
        layer(torch.tensor([-1.0, 3.0]))
        assert float(penalty.value()) == 1.5
    assert not layer._forward_hooks
