"""Recipes and recipe spaces: every value and every option of a free parameter is checked."""

import json

import pytest

from archsieve.spaces.parameters.domains import Choice, Range
from archsieve.spaces.recipes.recipe import CONDITIONS, Recipe, RecipeSpace
from archsieve.spaces.recipes.zero_shot_recipe import ZeroShotRecipe


def test_json_round_trip():
    recipe = Recipe(lr=0.3, optimizer="adamw", epochs=3)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", 0),
        ("epochs", 3.7),
        ("epochs", "three"),
        ("epochs", True),
        ("batch_size", 0),
        ("lr", 0.0),
        ("lr", -1.0),
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("lr", True),
        ("lr", "0.1"),
        ("momentum", 1.0),
        ("nesterov", 1),
        ("weight_decay", -1e-4),
        ("schedule", "cosin"),
        ("optimizer", None),
        ("lr_end", 0.0),
        ("dropout", 1.0),
        ("label_smoothing", -0.1),
        ("augmentation", "flip"),
        ("rotation_degrees", 181.0),
        ("jitter", 1.5),
        ("noise_std", -0.1),
        ("elastic_alpha_px", -1.0),
        ("elastic_sigma_px", 0.0),
        ("dropconnect", 1.0),
        ("l1", -1e-4),
        ("activation_l1", float("nan")),
        ("init", "xavier"),
        ("averaging", "mean"),
        ("ema_decay", 1.0),
        ("swa_start", 1.0),
        ("auxiliary", "jigsaw"),
        ("auxiliary_weight", -1.0),
        ("find_lr", 1),
        ("train", "body"),
        ("head_epochs", 0),
        ("frozen_stages", -1),
        ("layer_lr_decay", 1.1),
        ("head_lr_factor", 0.0),
        ("adapter", "bitfit"),
        ("lora_rank", 0),
        ("lora_alpha", 0.0),
        ("drop_path", 1.0),
        ("clip_grad_norm", -1.0),
        ("mixup_alpha", -0.1),
        ("cutmix_alpha", -0.1),
        ("randaugment_ops", -1),
        ("randaugment_magnitude", 31),
        ("random_erasing", 1.1),
        ("teacher", ""),
        ("distill_weight", 1.1),
        ("distill_temperature", 0.0),
    ],
)
def test_invalid_value_is_refused_in_recipe_and_space(key, value):
    with pytest.raises(ValueError, match=rf"recipe\.{key} must be .*, but got"):
        Recipe(**{key: value})
    with pytest.raises(ValueError, match=rf"recipe\.{key} must be .*, but got"):
        RecipeSpace.of(**{key: [value]})


def test_unknown_key_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"key 'epoch'.*'epochs'"):
        Recipe.from_json({"epoch": 3})
    with pytest.raises(ValueError, match=r"key 'drop_out'.*'dropout'"):
        RecipeSpace.of(drop_out=0.1)


def test_lists_and_ranges_are_free_parameters():
    space = RecipeSpace.of(epochs=3, lr=Range(0.01, 1.0, log=True), dropout=[0.0, 0.3])
    assert space.free_parameters == {"lr": Range(0.01, 1.0, log=True), "dropout": Choice((0.0, 0.3))}
    assert space.fill({"lr": 0.1, "dropout": 0.3}) == Recipe(epochs=3, lr=0.1, dropout=0.3)


def test_range_of_an_integer_key_gives_integers():
    assert RecipeSpace.of(epochs=Range(3, 12)).free_parameters["epochs"].at(0.45) == 7


def test_range_of_a_text_key_is_refused():
    with pytest.raises(ValueError, match=r"recipe\.optimizer .*sgd.*range"):
        RecipeSpace.of(optimizer=Range(0, 1))


def test_range_with_a_bound_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"recipe\.momentum .*\[0, 1\).*1\.5"):
        RecipeSpace.of(momentum=Range(0.5, 1.5))


def test_a_range_with_a_value_between_its_bounds_that_is_refused_is_refused():
    with pytest.raises(ValueError, match=r"recipe\.filter_size .*odd.*4"):
        RecipeSpace.of(ZeroShotRecipe, filter_size=Range(3, 7))
    assert RecipeSpace.of(ZeroShotRecipe, filter_size=[3, 5, 7]).ends("filter_size") == (3, 5, 7)
    assert RecipeSpace.of(epochs=Range(1, 10**9)).largest("epochs") == 10**9


def test_recipe_without_newer_keys_gets_their_defaults():
    old = {"epochs": 3, "lr": 0.3, "optimizer": "sgd", "augmentation": "shift"}
    assert Recipe.from_json(old) == Recipe(**old)
    assert Recipe.from_json(Recipe(**old).to_json()) == Recipe.from_json(old)


def test_key_without_effect_has_one_value():
    space = RecipeSpace.of(averaging=["none", "ema"], ema_decay=[0.9, 0.99])
    averaged = {space.fill({"averaging": "ema", "ema_decay": decay}) for decay in (0.9, 0.99)}
    plain = {space.fill({"averaging": "none", "ema_decay": decay}) for decay in (0.9, 0.99)}
    assert [len(averaged), len(plain)] == [2, 1]
    assert {recipe.ema_decay for recipe in plain} == {0.9}


@pytest.mark.parametrize("key", CONDITIONS)
def test_each_condition_can_be_true_and_false(key):
    averaging = key[:3] if key[:3] in ("ema", "swa") else "none"
    techniques = {"elastic_alpha_px": 1.0, "auxiliary": "rotation", "adapter": "lora", "randaugment_ops": 1}
    used = Recipe(**techniques, averaging=averaging, teacher="t.safetensors", train="head-then-all")
    assert CONDITIONS[key](vars(used))
    assert not CONDITIONS[key](vars(Recipe(train="head")))


def test_keys_of_augmentation_have_no_effect_on_a_head():
    space = RecipeSpace.of(train=["head", "all"], augmentation=["standard", "none"], lora_rank=[4, 8], lr=[0.1, 0.2])
    options = [{"augmentation": name, "lora_rank": 8} for name in ("standard", "none")]
    heads = {space.fill({"train": "head", "lr": 0.1, **option}) for option in options}
    assert len(heads) == 1
    assert len({space.fill({"train": "all", "lr": 0.1, **option}) for option in options}) == 2
    (head,) = heads
    assert head.effective == Recipe(train="head", lr=0.1)
    assert space.fill({"train": "all", "lr": 0.1, **options[0]}).effective.augmentation == "standard"


def test_lr_auto_searches_from_one():
    assert Recipe.from_json({"lr": "auto"}) == Recipe(lr=1.0, find_lr=True)
    assert RecipeSpace.of(lr="auto").fill({}) == Recipe(lr=1.0, find_lr=True)
