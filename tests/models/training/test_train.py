"""A fit learns, is reproducible, resumes with bit-identical results, and reports a divergence."""

import io
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archsieve.models.data.registry import ImageData, Split
from archsieve.models.networks.build import build_for
from archsieve.models.optimization.steps import batch_sizes
from archsieve.models.training.epoch import Diverged, EpochResult
from archsieve.models.training.evaluate import evaluate, predict
from archsieve.models.training.random_state import Streams
from archsieve.models.training.trainer import Fit, fit
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, Linear
from archsieve.spaces.recipes.recipe import Recipe

Net = Callable[..., nn.Sequential]


@pytest.mark.parametrize(
    "recipe",
    [Recipe(epochs=5, batch_size=32, lr=0.02), Recipe(epochs=5, batch_size=32, optimizer="adamw", lr=5e-3)],
    ids=lambda recipe: recipe.optimizer,
)
def test_a_small_network_learns_digits(digits: ImageData, small_net: Net, recipe: Recipe) -> None:
    reported: list[EpochResult] = []
    history = fit(small_net(width=24), digits, recipe, seed=0, on_epoch=reported.append)
    assert history == reported
    assert [result.epoch for result in history] == [1, 2, 3, 4, 5]
    assert history[-1].val_accuracy > 0.95
    assert history[-1].lr == recipe.lr * recipe.lr_end
    assert history[-1].train_loss < history[0].train_loss


def test_a_fit_agrees_with_a_plain_training_loop(few_digits: ImageData, small_net: Net) -> None:
    recipe = Recipe(epochs=2, batch_size=25, lr=0.02, schedule="constant", label_smoothing=0.1, decay_norms=True)
    fitted, plain = small_net(), small_net()
    fit(fitted, few_digits, recipe, seed=5)
    images, labels = few_digits.normalise(few_digits.train.images), few_digits.train.labels
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.02, momentum=0.9, nesterov=True, weight_decay=5e-4)
    shuffle = Streams(5, torch.device("cpu")).shuffle
    for _ in range(2):
        for index in torch.randperm(len(labels), generator=shuffle).split(25):
            optimizer.zero_grad()
            nn.CrossEntropyLoss(label_smoothing=0.1)(plain(images[index]), labels[index]).backward()
            optimizer.step()
    assert all(map(torch.equal, fitted.state_dict().values(), plain.state_dict().values()))


MANY_OPTIONS = Recipe(
    epochs=4, batch_size=32, augmentation="standard", schedule="one-cycle", dropout=0.3, label_smoothing=0.1
)


def weights(run: Fit) -> list[Tensor]:
    return list(run.module.state_dict().values())


def saved_and_loaded(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


def test_masks_of_dropconnect_are_resumed(few_digits: ImageData) -> None:
    recipe = Recipe(epochs=3, batch_size=32, lr=0.01, dropconnect=0.5, dropout=0.2)
    network = Architecture(few_digits.input_shape, (Conv(8), Linear(16)), few_digits.n_classes)
    uninterrupted = Fit(build_for(network, recipe, seed=0), few_digits, recipe, seed=3)
    uninterrupted.step()
    state = saved_and_loaded(uninterrupted.state_dict())
    torch.rand(5)
    resumed = Fit(build_for(network, recipe, seed=1), few_digits, recipe, seed=99)
    resumed.load_state_dict(state)
    for run in (uninterrupted, resumed):
        while not run.done:
            run.step()
    assert resumed.history == uninterrupted.history
    assert all(map(torch.equal, weights(resumed), weights(uninterrupted)))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_resuming_is_bit_identical(few_digits: ImageData, small_net: Net, optimizer: str) -> None:
    recipe = Recipe.from_json(MANY_OPTIONS.to_json() | {"optimizer": optimizer, "lr": 0.01})
    uninterrupted = Fit(small_net(dropout=0.3), few_digits, recipe, seed=3)
    uninterrupted.step(), uninterrupted.step()
    state = saved_and_loaded(uninterrupted.state_dict())
    torch.rand(5)  # draws of other code in between must not matter
    while not uninterrupted.done:
        uninterrupted.step()
    resumed = Fit(small_net(width=16, dropout=0.3), few_digits, recipe, seed=99)
    resumed.load_state_dict(state)
    assert resumed.epoch == 2
    while not resumed.done:
        resumed.step()
    assert resumed.history == uninterrupted.history
    assert all(map(torch.equal, weights(resumed), weights(uninterrupted)))


def test_saving_and_loading_a_state_copies_it(few_digits: ImageData, small_net: Net) -> None:
    run = Fit(small_net(dropout=0.3), few_digits, MANY_OPTIONS, seed=3)
    run.step()
    state = run.state_dict()
    results = []
    for _ in range(2):
        resumed = Fit(small_net(dropout=0.3), few_digits, MANY_OPTIONS, seed=0)
        resumed.load_state_dict(state)
        results.append(resumed.step())
    assert results == [run.step()] * 2


def test_the_seed_decides_everything_and_the_global_generator_is_unchanged(
    few_digits: ImageData, small_net: Net
) -> None:
    histories: list[list[EpochResult]] = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(histories))
        before = torch.get_rng_state()
        histories.append(fit(small_net(dropout=0.3), few_digits, MANY_OPTIONS, seed=seed))
        assert torch.equal(torch.get_rng_state(), before)
    assert histories[0] == histories[1] != histories[2]


def test_a_state_with_another_recipe_or_other_data_is_refused(
    few_digits: ImageData, digits: ImageData, small_net: Net
) -> None:
    state = Fit(small_net(), few_digits, MANY_OPTIONS, seed=0).state_dict()
    with pytest.raises(ValueError, match=r"the recipe .*'epochs': 4.*'epochs': 12"):
        Fit(small_net(), few_digits, Recipe(), seed=0).load_state_dict(state)
    with pytest.raises(ValueError, match=rf"content_hash .*{few_digits.content_hash}.*{digits.content_hash}"):
        Fit(small_net(), digits, MANY_OPTIONS, seed=0).load_state_dict(state)


def test_the_best_weights_are_those_of_the_best_epoch(few_digits: ImageData, small_net: Net) -> None:
    run = Fit(small_net(), few_digits, Recipe(epochs=6, batch_size=32, lr=1.0), seed=0, keep_best=True)
    assert run.best is None
    while not run.done:
        run.step()
    assert run.best is not None
    assert run.best.val_accuracy == max(result.val_accuracy for result in run.history)
    assert run.best_weights is not None
    module = small_net()
    module.load_state_dict(run.best_weights)
    assert evaluate(module, few_digits.val, few_digits).accuracy == run.best.val_accuracy


def test_a_finished_fit_refuses_another_step(few_digits: ImageData, small_net: Net) -> None:
    run = Fit(small_net(), few_digits, Recipe(epochs=1), seed=0)
    run.step()
    with pytest.raises(RuntimeError, match="all 1 epochs"):
        run.step()


def plain_net() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))


def test_a_huge_learning_rate_is_reported_as_divergence(few_digits: ImageData) -> None:
    with pytest.raises(Diverged, match=r"loss is (nan|inf) at epoch \d+, step \d+, lr 10000\b.*recipe\.lr") as error:
        fit(plain_net(), few_digits, Recipe(epochs=20, batch_size=8, lr=1e4, schedule="constant"), seed=0)
    assert error.value.lr == 1e4
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


class NanAtCall(nn.Module):
    """Returns NaN at the given call, counted in one mode."""

    def __init__(self, at: int, training: bool) -> None:
        super().__init__()
        self.at, self.when, self.calls = at, training, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.training == self.when
        return x * math.nan if (self.training, self.calls) == (self.when, self.at) else x


def test_the_first_step_without_a_finite_loss_is_named(few_digits: ImageData) -> None:
    with pytest.raises(Diverged) as error:
        fit(nn.Sequential(plain_net(), NanAtCall(19, True)), few_digits, Recipe(epochs=3, batch_size=8), seed=0)
    steps = len(batch_sizes(len(few_digits.train), 8))
    assert (error.value.epoch, error.value.step) == (2, 19 - steps)
    assert error.value.problem == "training loss is nan"


def test_a_validation_loss_that_is_not_finite_is_named(few_digits: ImageData) -> None:
    with pytest.raises(Diverged, match="validation loss is nan at epoch 1"):
        fit(nn.Sequential(plain_net(), NanAtCall(1, False)), few_digits, Recipe(epochs=1), seed=0)


def test_validation_is_not_augmented_and_reads_no_test_image(few_digits: ImageData, small_net: Net) -> None:
    evaluated: list[Tensor] = []

    class Spy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if not self.training:
                evaluated.append(x)
            return x

    fit(nn.Sequential(Spy(), small_net()), few_digits, Recipe(epochs=1, augmentation="standard"), seed=0)
    assert torch.equal(torch.cat(evaluated), few_digits.normalise(few_digits.val.images))


def test_training_is_augmented_and_uses_every_image_once(few_digits: ImageData, small_net: Net) -> None:
    inputs: dict[str, list[Tensor]] = {"none": [], "shift": []}
    for kind, images in inputs.items():
        module = nn.Sequential(nn.Identity(), small_net())
        module[0].register_forward_hook(lambda m, x, y, images=images: images.append(y) if m.training else None)
        fit(module, few_digits, Recipe(epochs=1, batch_size=50, augmentation=kind), seed=0)
    expected = {image.numpy().tobytes() for image in few_digits.normalise(few_digits.train.images)}
    assert {image.numpy().tobytes() for image in torch.cat(inputs["none"])} == expected
    assert {image.numpy().tobytes() for image in torch.cat(inputs["shift"])} != expected


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"), [(8, 4, [4, 4]), (9, 4, [4, 5]), (10, 4, [4, 4, 2]), (1, 4, [1]), (2, 1, [1, 1])]
)
def test_sizes_of_batches(n: int, batch_size: int, sizes: list[int]) -> None:
    assert batch_sizes(n, batch_size) == sizes


def test_a_batch_larger_than_the_data_is_all_of_it(few_digits: ImageData) -> None:
    sizes: list[int] = []
    module = plain_net()
    module.register_forward_hook(lambda m, x, y: sizes.append(len(y)) if m.training else None)
    fit(module, few_digits, Recipe(epochs=2, batch_size=100_000, lr=1e-3), seed=0)
    assert sizes == [len(few_digits.train)] * 2


def test_a_last_batch_of_one_image_trains_with_batch_norm(few_digits: ImageData) -> None:
    batch_size = len(few_digits.train) - 1
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))
    assert len(fit(module, few_digits, Recipe(epochs=1, batch_size=batch_size), seed=0)) == 1
    with pytest.raises(ValueError, match=r"batch norm .*recipe\.batch_size"):
        Fit(module, few_digits, Recipe(batch_size=1), seed=0)
    assert len(fit(plain_net(), few_digits, Recipe(epochs=1, batch_size=1, lr=1e-3), seed=0)) == 1


def test_a_network_with_another_number_of_classes_is_refused(few_digits: ImageData, small_net: Net) -> None:
    with pytest.raises(ValueError, match=r"logits \(\d+, 10\).*\(\d+, 7\)"):
        fit(small_net(n_classes=7), few_digits, Recipe(epochs=1), seed=0)


def test_predictions_are_probabilities_that_agree_with_the_accuracy(few_digits: ImageData, small_net: Net) -> None:
    module = small_net()
    fit(module, few_digits, Recipe(epochs=3, batch_size=32), seed=0)
    module.train()
    probabilities = predict(module, few_digits.val.images, few_digits, batch_size=7)
    assert module.training
    torch.testing.assert_close(probabilities.sum(1), torch.ones(len(few_digits.val)))
    evaluation = evaluate(module, few_digits.val, few_digits)
    assert evaluation.accuracy == float((probabilities.argmax(1) == few_digits.val.labels).double().mean())
    assert evaluation.loss == pytest.approx(float(nn.NLLLoss()(probabilities.log(), few_digits.val.labels)), rel=1e-4)


def test_uint8_images_give_the_same_predictions(few_digits: ImageData, small_net: Net) -> None:
    def as_bytes(split: Split) -> Split:
        return Split((split.images * 16 * 15).byte(), split.labels)

    train, val = as_bytes(few_digits.train), as_bytes(few_digits.val)
    data = ImageData.of("bytes", few_digits.classes, train=train, val=val)
    torch.testing.assert_close(
        predict(small_net(), data.val.images, data), predict(small_net(), few_digits.val.images, few_digits)
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_a_fit_learns_with_each_precision_and_layout(
    digits: ImageData, small_net: Net, precision: str, channels_last: bool
) -> None:
    recipe = Recipe(epochs=3, batch_size=64, lr=0.02)
    module = small_net()
    history = fit(module, digits, recipe, seed=0, precision=precision, channels_last=channels_last)
    assert history[-1].val_accuracy > 0.9
    assert module[3].weight.is_contiguous(memory_format=torch.channels_last) == channels_last
    assert all(p.dtype == torch.float32 for p in module.parameters())


def test_an_unknown_precision_is_refused(few_digits: ImageData, small_net: Net) -> None:
    with pytest.raises(ValueError, match="precision 'fp16'"):
        Fit(small_net(), few_digits, Recipe(), seed=0, precision="fp16")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_learns_and_resumes(digits: ImageData, small_net: Net, precision: str) -> None:
    recipe = Recipe(epochs=5, batch_size=64, lr=0.02, augmentation="shift", dropout=0.1)
    options: dict[str, Any] = {"device": "cuda", "precision": precision, "channels_last": True}
    run = Fit(small_net(dropout=0.1), digits, recipe, seed=0, keep_best=True, **options)
    run.step()
    resumed = Fit(small_net(dropout=0.1), digits, recipe, seed=1, **options)
    resumed.load_state_dict(saved_and_loaded(run.state_dict()))
    while not resumed.done:
        resumed.step()
    assert resumed.history[-1].val_accuracy > 0.9
