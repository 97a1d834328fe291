"""Training by a function of the user: what it gets, what it must report, and that it can be resumed."""

import io
import math
import threading

import pytest
import torch
from torch.nn.functional import cross_entropy, multi_margin_loss
from torch.utils.data import DataLoader

from archsieve.models.data.dataset import Split, in_unit_range
from archsieve.models.data.registry import load_data
from archsieve.models.metrics.label_losses import LabelLoss
from archsieve.models.networks.build import build_for
from archsieve.models.networks.compute import CPU
from archsieve.models.optimization.custom_parts import BUILT_IN, CustomParts
from archsieve.models.training.epoch import Diverged
from archsieve.models.training.retrain import fit_for, retrain
from archsieve.models.training.training_job import ImageDataset
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, GlobalAverage
from archsieve.spaces.metrics.selection import BY_ACCURACY, Selection
from archsieve.spaces.recipes.recipe import Recipe

NETWORK = Architecture((1, 8, 8), [Conv(4), GlobalAverage()], classes=10)
RECIPE = Recipe(epochs=3, batch_size=64, lr=0.1)
BY_F1 = Selection.of("f1_macro")


@pytest.fixture(scope="module")
def data():
    return load_data("digits", limit=200)


def train(job):
    optimizer = torch.optim.SGD(job.module.parameters(), lr=job.recipe.lr, momentum=0.9)
    job.checkpoint(optimizer=optimizer)
    loader = DataLoader(job.dataset(), batch_size=job.recipe.batch_size, shuffle=True)
    for epoch in job.epochs():
        job.module.train()
        for images, labels in loader:
            optimizer.zero_grad()
            cross_entropy(job.module(images), labels).backward()
            optimizer.step()
        job.report(epoch, **job.validate())


def fit_of(function, data, selection=BY_ACCURACY, *, keep_predictions=False):
    custom = CustomParts(function)
    return fit_for(
        build_for(NETWORK, RECIPE, seed=1),
        NETWORK,
        data,
        RECIPE,
        CPU,
        seed=1,
        keep_best=True,
        keep_predictions=keep_predictions,
        selection=selection,
        custom=custom,
    )


def ran(fit):
    while not fit.done:
        fit.step()
    return fit


def test_a_resumed_fit_has_the_weights_of_one_that_was_not_interrupted(data):
    whole, first = ran(fit_of(train, data, BY_F1)), fit_of(train, data, BY_F1)
    first.step()
    content = io.BytesIO()
    torch.save(first.state_dict(), content)
    first.close()
    second = fit_of(train, data, BY_F1)
    second.load_state_dict(torch.load(io.BytesIO(content.getvalue()), weights_only=True))
    assert (second.epoch, second.done) == (1, False)
    ran(second)
    assert [result.val_loss for result in second.history] == [result.val_loss for result in whole.history]
    assert set(whole.history[0].metrics) == {"f1_macro"}
    assert all(
        torch.equal(second.module.state_dict()[name], value) for name, value in whole.module.state_dict().items()
    )
    assert all(torch.equal(second.best_weights[name], value) for name, value in whole.best_weights.items())
    assert whole.best is max(whole.history, key=lambda result: (result.metrics["f1_macro"], -result.val_loss))
    # trained again from its seed, the network has the same values; torch's generators are as before
    before = torch.get_rng_state()
    again = retrain(NETWORK, RECIPE, data, seed=1, selection=BY_F1, custom=CustomParts(train))
    assert again.best.metrics == whole.best.metrics
    assert again.test_accuracy is not None
    assert torch.equal(torch.get_rng_state(), before)


def test_images_with_several_labels_have_a_row_of_labels(data):
    labels = torch.nn.functional.one_hot(data.val.labels, 10).bool()
    several = ImageDataset(Split(data.val.images, labels), data)
    images, batch = next(iter(DataLoader(several, batch_size=4)))
    assert images.shape == (4, 1, 8, 8)
    assert torch.equal(batch, labels[:4])


def test_the_function_gets_the_network_the_recipe_and_no_test_images(data):
    seen = {}

    def look(job):
        images, label = job.dataset("val")[3]
        seen.update(test=job.data.test, recipe=job.recipe, label=label, start=job.start_epoch, network=job.architecture)
        assert torch.equal(images, job.data.normalise(in_unit_range(data.val.images[3:4]))[0])
        assert len(job.dataset()) == len(data.train)
        assert job.module(images[None]).shape == (1, 10)
        with pytest.raises(ValueError, match=r"'test'.*select"):
            job.dataset("test")
        job.report(1, accuracy=torch.tensor(0.5))

    fit = fit_of(look, data)
    fit.step()  # the report
    assert not fit.done
    assert fit.step() is None  # the end: fewer epochs than the recipe has
    assert (fit.done, fit.epoch, fit.history[0].val_accuracy, fit.history[0].val_loss) == (True, 1, 0.5, None)
    assert seen == {"test": None, "recipe": RECIPE, "label": int(data.val.labels[3]), "start": 0, "network": NETWORK}


def logits_for(labels, n_right):
    """Return logits of which the first ``n_right`` are right."""
    shifted = torch.where(torch.arange(len(labels)) < n_right, labels, (labels + 1) % 10)
    return 5 * torch.nn.functional.one_hot(shifted, 10).float()


def test_reported_predictions_give_the_metrics_and_those_of_the_best_epoch_are_kept(data):
    labels, n_right = data.val.labels, (10, 30, 20)

    def report(job):
        for epoch in job.epochs():
            logits = logits_for(labels, n_right[epoch - 1])
            job.report(epoch, predictions=logits.numpy() if epoch == 2 else logits, train_loss=0.5)

    fit = fit_of(report, data, BY_F1, keep_predictions=True)
    fit.step()
    fit.step()
    accuracies = [result.val_accuracy for result in fit.history]
    assert accuracies == [n / len(labels) for n in n_right[:2]]
    assert fit.history[0].metrics.keys() == {"f1_macro"}
    assert fit.history[0].val_loss > 0.5
    resumed = fit_of(report, data, BY_F1, keep_predictions=True)
    resumed.load_state_dict(fit.state_dict())
    fit.close()
    ran(resumed)
    for one in (fit, resumed):  # the third epoch is not the best one
        assert (one.best_predictions.predicted == labels).sum() == 30
    older = fit.state_dict()
    del older["best_predictions"]  # a checkpoint of an earlier version
    resumed.load_state_dict(older)
    assert resumed.best_predictions is None


def test_the_predictions_of_validate_are_kept_if_its_metrics_are_reported(data):
    ended = ran(fit_of(train, data, BY_F1, keep_predictions=True))
    kept = ended.best_predictions
    assert float((kept.predicted == kept.labels).float().mean()) == pytest.approx(ended.best.val_accuracy)
    assert ran(fit_of(train, data, BY_F1)).best_predictions is None

    def other_values(job):
        job.validate()
        job.report(1, accuracy=1.0)
        job.report(2, accuracy=1.0)

    assert ran(fit_of(other_values, data, keep_predictions=True)).best_predictions is None

    def other_f1(job):
        for epoch in job.epochs():
            job.report(epoch, **{**job.validate(), "f1_macro": 0.99})

    assert ran(fit_of(other_f1, data, BY_F1, keep_predictions=True)).best_predictions is None


def test_a_metric_that_only_the_function_computes_selects_the_best_epoch(data):
    by_miou = Selection.of("miou", ["f1_macro"], "minimize")
    assert (by_miou.recorded, by_miou.computed, by_miou.reported) == (("miou", "f1_macro"), ("f1_macro",), ("miou",))

    def report(job):
        for epoch in job.epochs():
            values = job.validate()
            assert "miou" not in values
            job.report(epoch, **values, miou=abs(epoch - 2.5) - 1)

    ended = ran(fit_of(report, data, by_miou))
    assert (ended.best.epoch, ended.best.metrics["miou"]) == (2, -0.5)
    with pytest.raises(ValueError, match=r"needs accuracy, miou, f1_macro.*add miou=\.\.\.[^*]*$"):
        ran(fit_of(train, data, by_miou))


def test_a_fit_that_is_closed_ends_its_thread(data):
    ended = threading.Event()

    def wait(job):
        try:
            job.report(1, accuracy=0.5)
        finally:
            ended.set()

    fit = fit_of(wait, data)
    fit.step()
    assert not ended.is_set()
    fit.close()
    assert ended.is_set()


def larger(job):
    job.module.append(torch.nn.Linear(10, 10))
    job.report(1, accuracy=0.5)


WRONG = {
    "no-report": (lambda job: None, ("must report each epoch",)),
    "a-value": (lambda job: 0.93, ("None", "float 0.93", "job.report")),
    "other-metric": (lambda job: job.report(1, accuracy=0.5), ("f1_macro", "accuracy", "validate")),
    "no-metric": (lambda job: job.report(1), ("accuracy, f1_macro", "nothing")),
    "slip": (lambda job: job.report(1, accuracy=0.5, f1_macr=0.5), ("f1_macr", "'f1_macro'")),
    "not-recorded": (
        lambda job: job.report(1, accuracy=0.5, f1_macro=0.5, log_loss=1.0),
        ("log_loss", "record_metrics"),
    ),
    "test-metric": (lambda job: job.report(1, accuracy=0.5, test_accuracy=0.5), ("test_accuracy", "validation")),
    "nan": (lambda job: job.report(1, accuracy=0.5, f1_macro=math.nan), ("f1_macro", "finite", "nan")),
    "percent": (lambda job: job.report(1, accuracy=93, f1_macro=0.5), ("accuracy", "0 to 1", "93")),
    "text": (lambda job: job.report(1, accuracy="high", f1_macro=0.5), ("accuracy", "str", "high")),
    "tensor": (lambda job: job.report(1, accuracy=torch.ones(2), f1_macro=0.5), ("accuracy", "Tensor")),
    "order": (lambda job: job.report(2, accuracy=0.5, f1_macro=0.5), ("1 to 3", "2", "not 1")),
    "no-predictions": (lambda job: job.report(1, predictions=[0.5]), ("predictions", "(40, 10)", "list")),
    "shape": (lambda job: job.report(1, predictions=torch.ones(40)), ("predictions", "(40, 10)", "(40,)")),
    "classes": (lambda job: job.report(1, predictions=torch.ones(40).long()), ("(40, 10)", "int64")),
    "other-accuracy": (
        lambda job: job.report(1, predictions=torch.ones(40, 10), accuracy=0.99),
        ("accuracy", "0.99", "leave it out"),
    ),
    "other-f1": (
        lambda job: job.report(1, predictions=torch.ones(40, 10), f1_macro=0.99),
        ("f1_macro", "0.99", "leave it out"),
    ),
    "stateless": (lambda job: job.checkpoint(step=3), ("step", "int", "state_dict")),
    "raises": (lambda job: {}["lost"], ("KeyError: 'lost'", "at test_training_job.py:")),
    "exits": (lambda job: exit(), ("SystemExit", "at test_training_job.py:")),
    "larger": (larger, ("budget", "94", "204")),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_function_is_one_error_with_its_line(name, data):
    function, facts = WRONG[name]
    fit = fit_of(function, data, BY_F1)
    with pytest.raises(ValueError, match=r"the training function .*; ") as caught:
        ran(fit)
    assert all(fact in str(caught.value) for fact in facts), str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_loss_that_is_not_finite_is_a_divergence(data):
    with pytest.raises(Diverged, match=r"train_loss is inf at epoch 1"):
        ran(fit_of(lambda job: job.report(1, accuracy=0.5, train_loss=math.inf), data))
    with pytest.raises(Diverged, match=r"predictions is nan at epoch 1"):
        ran(fit_of(lambda job: job.report(1, predictions=torch.full((40, 10), math.nan)), data))


def test_a_custom_loss_and_optimizer_replace_the_built_in_ones(data):
    made = []

    def optimizer(groups, recipe):
        made.append(torch.optim.RMSprop(groups, lr=recipe.lr, alpha=0.9))
        return made[-1]

    custom = CustomParts(loss=multi_margin_loss, optimizer=optimizer)
    fit = fit_for(
        build_for(NETWORK, RECIPE, seed=1),
        NETWORK,
        data,
        RECIPE,
        CPU,
        seed=1,
        keep_best=False,
        selection=BY_ACCURACY,
        custom=custom,
    )
    ran(fit)
    assert fit.optimizer is made[0]
    assert [group["weight_decay"] for group in made[0].param_groups] == [RECIPE.weight_decay, 0.0]
    built_in = ran(
        fit_for(
            build_for(NETWORK, RECIPE, seed=1),
            NETWORK,
            data,
            RECIPE,
            CPU,
            seed=1,
            keep_best=False,
            selection=BY_ACCURACY,
            custom=BUILT_IN,
        )
    )
    assert fit.history[-1].train_loss != built_in.history[-1].train_loss
    # with equal scores the margin loss is (K - 1) / K of the margin, 1
    assert float(custom.batch_loss(torch.zeros(2, 10), torch.tensor([0, 1]), None, LabelLoss())) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("custom", "facts"),
    [
        (CustomParts(loss=lambda logits, labels: logits), ("train.loss", "scalar", "(64, 10)")),
        (CustomParts(loss=lambda logits, labels: 0.5), ("train.loss", "float 0.5")),
        (CustomParts(optimizer=lambda groups, recipe: groups), ("train.optimizer", "list", "RMSprop")),
    ],
)
def test_a_part_that_returns_something_else_is_one_error(custom, facts, data):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the facts are compared below
        fit_for(
            build_for(NETWORK, RECIPE, seed=1),
            NETWORK,
            data,
            RECIPE,
            CPU,
            seed=1,
            keep_best=False,
            selection=BY_ACCURACY,
            custom=custom,
        ).step()
    assert all(fact in str(caught.value) for fact in facts), str(caught.value)
