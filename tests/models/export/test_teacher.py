"""Distillation: the loss, and teachers with the same and with other classes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from archsieve.models.data.dataset import ImageData
from archsieve.models.export.classifier import ImageModel
from archsieve.models.export.teacher import Teachers, load_teacher
from archsieve.models.networks.build import build_for
from archsieve.models.networks.compute import CPU
from archsieve.models.training.distillation import distillation_loss
from archsieve.models.training.retrain import retrain
from archsieve.models.training.trainer import Fit
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, Linear
from archsieve.spaces.recipes.recipe import Recipe

LARGE = Architecture((1, 8, 8), (Conv(16), Linear(64)), 10)
SMALL = Architecture((1, 8, 8), (Conv(8), Linear(16)), 10)
DISTILLED = Recipe(epochs=6, batch_size=32, lr=0.02, distill_weight=1.0)


@pytest.fixture(scope="module")
def model(few_digits: ImageData) -> ImageModel:
    recipe = Recipe(epochs=6, batch_size=32, lr=0.02)
    return ImageModel.of(LARGE, retrain(LARGE, recipe, few_digits, seed=0).weights, few_digits, {})


@pytest.fixture
def path(model: ImageModel, tmp_path: Path) -> str:
    model.save(tmp_path / "teacher.safetensors")
    return str(tmp_path / "teacher.safetensors")


def test_the_loss_is_the_divergence_from_the_teacher() -> None:
    student, teacher = torch.tensor([[1.0, 0.0], [3.0, 1.0]]), torch.tensor([[0.0, 0.0], [3.0, 1.0]])
    assert distillation_loss(teacher, teacher, 3.0) == 0
    p = torch.tensor([1.0, 0.0]).div(2).softmax(0)
    expected = 4 * (0.5 * (0.5 / p).log()).sum() / 2
    torch.testing.assert_close(distillation_loss(student, teacher, 2.0), expected)


def test_a_worker_loads_a_teacher_once(few_digits: ImageData, path: str) -> None:
    teachers, recipe = Teachers(few_digits), replace(DISTILLED, teacher=path)
    first = teachers.of(recipe)
    Path(path).unlink()
    assert teachers.of(replace(recipe, lr=0.5)) is first is not None
    assert teachers.of(DISTILLED) is None


def test_a_student_learns_the_answers_of_its_teacher(few_digits: ImageData, model: ImageModel, path: str) -> None:
    recipe = replace(DISTILLED, teacher=path)
    teacher = load_teacher(recipe, few_digits)
    assert teacher is not None
    images = few_digits.normalise(few_digits.val.images)
    answers = model.scores(few_digits.val.images)
    torch.testing.assert_close(teacher.place(CPU).logits(images, few_digits, CPU), answers, atol=1e-3, rtol=1e-3)
    # all labels are wrong: what the student knows is from the teacher
    wrong = replace(few_digits.train, labels=(few_digits.train.labels + 1) % 10)
    run = Fit(build_for(SMALL, recipe, seed=0), replace(few_digits, train=wrong), recipe, seed=0, teacher=teacher)
    while not run.done:
        run.step()
    assert run.history[-1].val_accuracy > 0.5
    assert run.history[-1].train_accuracy < 0.2


def test_classes_may_have_another_order(few_digits: ImageData, model: ImageModel, path: str) -> None:
    turned = replace(few_digits, classes=few_digits.classes[::-1])
    teacher = load_teacher(Recipe(teacher=path), turned)
    assert teacher is not None
    images = few_digits.normalise(few_digits.val.images)
    answers = teacher.place(CPU).logits(images, few_digits, CPU)
    torch.testing.assert_close(answers, model.scores(few_digits.val.images).flip(1), atol=1e-3, rtol=1e-3)


def test_images_are_resized_for_the_teacher(few_digits: ImageData, path: str) -> None:
    teacher = load_teacher(Recipe(teacher=path), few_digits)
    assert teacher is not None
    assert teacher.place(CPU).logits(torch.zeros(2, 1, 16, 16), few_digits, CPU).shape == (2, 10)


def test_a_teacher_that_does_not_fit_is_refused(few_digits: ImageData, path: str, tmp_path: Path) -> None:
    for missing in (tmp_path, tmp_path / "none.safetensors"):
        with pytest.raises(ValueError, match=f"recipe.teacher .*no file {missing};"):
            load_teacher(Recipe(teacher=str(missing)), few_digits)
    other = replace(few_digits, classes=(*few_digits.classes[:-1], "nine"))
    with pytest.raises(ValueError, match=r"classes of the data.*10 classes.*'9'"):
        load_teacher(Recipe(teacher=path), other)
    with pytest.raises(ValueError, match=r"no .*missing\.safetensors"):
        load_teacher(Recipe(teacher="missing.safetensors"), few_digits)
    with pytest.raises(ValueError, match=r"'x\.safetensors'"):
        Fit(build_for(SMALL, DISTILLED, seed=0), few_digits, Recipe(teacher="x.safetensors"), seed=0)
    coloured = replace(few_digits, train=replace(few_digits.train, images=few_digits.train.images.repeat(1, 3, 1, 1)))
    with pytest.raises(ValueError, match=r"3 channels.*takes 1"):
        load_teacher(Recipe(teacher=path), coloured)
    labels = torch.nn.functional.one_hot(few_digits.train.labels, 10).bool()
    several = replace(few_digits, train=replace(few_digits.train, labels=labels))
    for name in (path, "timm:test_resnet"):
        with pytest.raises(ValueError, match=r"as many labels.*several"):
            load_teacher(Recipe(teacher=name), several)


def test_there_is_no_teacher_without_the_key_and_for_a_head(few_digits: ImageData) -> None:
    assert load_teacher(Recipe(), few_digits) is None
    assert load_teacher(Recipe(teacher="missing.safetensors", train="head"), few_digits) is None
