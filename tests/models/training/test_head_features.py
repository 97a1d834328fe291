"""Training a head on cached features: equal to the whole network, computed once, shared, and keyed by what matters."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import sleep

import pytest
import torch
from torch import Tensor, nn

from archsieve.models.data.dataset import ImageData
from archsieve.models.export.classifier import ImageModel
from archsieve.models.networks.build import build_for
from archsieve.models.networks.compute import CPU
from archsieve.models.storage.choice import CacheLocation
from archsieve.models.storage.tensor_file import cached_tensors
from archsieve.models.training.evaluate import evaluate
from archsieve.models.training.head_features import FeatureDropout, head_data
from archsieve.models.training.retrain import retrain
from archsieve.models.training.trainer import Fit
from archsieve.search.tasks.classification import ImageTrialContext
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, Linear
from archsieve.spaces.recipes.recipe import Recipe

NETWORK = Architecture((1, 8, 8), (Conv(8), Linear(64)), 10)
HEAD = Recipe(train="head", epochs=8, batch_size=32, lr=0.2, dropout=0.1, augmentation="standard", drop_path=0.2)


@pytest.fixture
def data(few_digits: ImageData, tmp_path: Path) -> ImageData:
    return replace(few_digits, cache=CacheLocation(str(tmp_path)))


def files(data: ImageData) -> set[str]:
    assert data.cache.folder is not None
    return {path.name for path in Path(data.cache.folder).glob("*.features")}


def body_passes(network: nn.Module) -> list[int]:
    """Return a list that gets the number of images of each pass through the first layer."""
    passes: list[int] = []
    network[0].register_forward_hook(lambda layer, inputs, output: passes.append(len(output)))  # type: ignore[index]
    return passes


def fit(data: ImageData, recipe: Recipe = HEAD, seed: int = 0) -> tuple[Fit, list[int]]:
    network = build_for(NETWORK, recipe, seed=seed)
    passes = body_passes(network)
    return Fit(network, data, recipe, seed=0, keep_best=True), passes


def finished(run: Fit) -> Fit:
    while not run.done:
        run.step()
    return run


def test_the_whole_network_has_the_accuracy_of_the_head(data: ImageData) -> None:
    run = finished(fit(data)[0])
    body = build_for(NETWORK, HEAD, seed=0).state_dict()
    trained = {name for name, tensor in run.network.state_dict().items() if not torch.equal(tensor, body[name])}
    assert trained == {"2.1.weight", "2.1.bias"}
    evaluation = evaluate(run.network, data.val, data)
    assert evaluation.accuracy == run.history[-1].val_accuracy > 0.3
    assert evaluation.loss == pytest.approx(run.history[-1].val_loss, rel=1e-4)
    assert (run.recipe.augmentation, run.recipe.drop_path) == ("none", 0.0)


def test_features_are_computed_once(data: ImageData) -> None:
    first, passes = fit(data)
    assert sum(passes) == 2 + sum(map(len, data.splits))  # two images are checked before
    finished(first)
    assert sum(passes) == 2 + sum(map(len, data.splits))
    again, passes = fit(data, replace(HEAD, lr=0.1, dropout=0.0, batch_size=16))
    assert passes == []
    assert again.data.content_hash == first.data.content_hash != data.content_hash
    assert len(files(data)) == 1


def test_weights_that_change_in_place_have_other_features(data: ImageData) -> None:
    network = build_for(NETWORK, HEAD, seed=0)
    first = head_data(network, data, CPU)
    assert head_data(network, data, CPU).content_hash == first.content_hash
    with torch.no_grad():
        network[0][0].weight[0, 0, 0, 0] += 1  # type: ignore[index]
    assert head_data(network, data, CPU).content_hash != first.content_hash
    assert len(files(data)) == 2


def test_dropout_of_features_keeps_their_mean() -> None:
    dropout, ones = FeatureDropout(0.3), torch.ones(200, 500)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropped = dropout.train()(ones)
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert dropped.mean() == pytest.approx(1.0, abs=0.01)
    assert torch.equal(dropout.eval()(ones), ones)


def test_other_weights_normalisation_or_images_have_other_features(data: ImageData) -> None:
    fit(data), fit(data, seed=1)
    fit(replace(data, mean=data.mean + 0.1))
    fit(replace(data, content_hash="other"))
    assert len(files(data)) == 4


def test_a_head_is_resumed_bit_identically(data: ImageData) -> None:
    uninterrupted, interrupted = finished(fit(data)[0]), fit(data)[0]
    interrupted.step()
    state = interrupted.state_dict()
    assert sum(tensor.numel() for tensor in state["module"].values()) == 64 * 10 + 10  # the head alone
    resumed = fit(data)[0]
    resumed.load_state_dict(state)
    assert finished(resumed).history == uninterrupted.history


def test_a_file_that_is_cut_off_is_written_again(data: ImageData, caplog: pytest.LogCaptureFixture) -> None:
    expected = fit(data)[0].data.train.images[:]
    (path,) = Path(str(data.cache.folder)).glob("*.features")
    path.write_bytes(path.read_bytes()[:-100])
    again, passes = fit(data)
    assert passes
    assert torch.equal(again.data.train.images[:], expected)
    assert fit(data)[1] == []
    assert "damaged" in caplog.text


@pytest.mark.parametrize("location", [CacheLocation("/dev/null/no"), CacheLocation(write=False)])
def test_where_nothing_can_be_written_features_are_computed_in_memory(
    data: ImageData, location: CacheLocation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ARCHSIEVE_CACHE", str(tmp_path / "unused"))
    run, passes = fit(replace(data, cache=location))
    assert passes
    assert torch.equal(run.data.val.images[:], fit(data)[0].data.val.images[:])
    assert not (tmp_path / "unused").exists()


def test_one_computes_and_the_others_wait(tmp_path: Path) -> None:
    calls: list[int] = []

    def compute() -> dict[str, Tensor]:
        calls.append(1)
        sleep(0.2)
        return {"x": torch.arange(3.0)}

    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(cached_tensors, "a.features", CacheLocation(str(tmp_path)), compute) for _ in range(4)]
    assert [job.result()["x"].tolist() for job in jobs] == [[0.0, 1.0, 2.0]] * 4
    assert len(calls) == 1


def test_a_network_that_changes_the_scores_of_its_head_is_refused(data: ImageData) -> None:
    network = nn.Sequential(build_for(NETWORK, HEAD, seed=0), nn.Softmax(1))
    with pytest.raises(ValueError, match=r"output of its last linear layer.*'all'"):
        head_data(network, data, CPU)
    assert files(data) == set()


def test_a_retrained_head_is_saved_as_a_whole_network(data: ImageData, tmp_path: Path) -> None:
    retrained = retrain(NETWORK, HEAD, data, seed=0)
    model = ImageModel.of(NETWORK, retrained.weights, data, {}, temperature=retrained.calibration.temperature)
    model.save(tmp_path / "model.safetensors")
    assert data.test is not None
    guesses = ImageModel.load(tmp_path / "model.safetensors").scores(data.test.images).argmax(1)
    assert float((guesses == data.test.labels).float().mean()) == pytest.approx(retrained.test_accuracy)


def test_a_worker_trains_and_times_the_whole_network(data: ImageData) -> None:
    context = ImageTrialContext(data, torch.device("cpu"), precision="fp32", folds=None, fold_seed=0)
    run = context.fit(NETWORK, HEAD, 0)
    while not run.done:
        run.step()
    assert context.final_metrics(run).test_accuracy > 0.3
    assert context.start_metrics(run).augmentation_cost is None
    assert context.timed_module(run)(torch.zeros(1, 1, 8, 8)).shape == (1, 10)
    folds = ImageTrialContext(data, torch.device("cpu"), precision="fp32", folds=2, fold_seed=0)
    folded = folds.fit(NETWORK, HEAD, 0)
    folded.step()
    assert folds.timed_module(folded)(torch.zeros(1, 1, 8, 8)).shape == (1, 10)
    assert len(files(data)) == 3


def test_the_random_layers_of_a_trial_do_not_depend_on_the_trial_before(data: ImageData) -> None:
    """A worker keeps a network for the next head, but its layers without published weights are those of one seed."""

    def loss_of_second(first: tuple[Recipe, int]) -> float:
        options = {"precision": "fp32", "folds": None, "fold_seed": 0, "weights": "unused"}
        context = ImageTrialContext(data, torch.device("cpu"), **options)  # type: ignore[arg-type]
        context.fit(NETWORK, *first)
        run = context.fit(NETWORK, HEAD, 2)
        return float(run.step().val_loss)

    other_init = replace(HEAD, init="glorot")
    losses = [loss_of_second(first) for first in ((HEAD, 2), (HEAD, 1), (other_init, 2))]
    assert losses == [losses[0]] * 3
