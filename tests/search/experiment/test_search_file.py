"""Search files: which are accepted, and the single error for each that is not."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from archsieve.search.config.duration import parse_duration
from archsieve.search.experiment.search_file import SearchFileError, load_experiment, overridden_twice, parse
from archsieve.search.experiment.template import RECIPE_COMMENTS, recommended_budget, search_file_text
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.sampling import count
from archsieve.spaces.recipes.recipe import Recipe
from archsieve.spaces.recipes.zero_shot_recipe import ZeroShotRecipe

EXAMPLES = Path(__file__).parents[3] / "examples"


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "search.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def two_classes(tmp_path: Path, each: int) -> str:
    """Return a folder of two classes with ``each`` empty files, because only their number matters here."""
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(each):
            (tmp_path / "images" / name / f"{number}.png").touch()
    return str(tmp_path / "images")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_example_is_a_search_that_can_start(path):
    loaded = load_experiment(path)
    assert loaded.budget.params
    assert loaded.constrained.size > 100


def test_the_template_of_every_data_set_is_a_search_that_can_start(tmp_path):
    for name in ("digits", "fashion-mnist", "cifar10", "cifar100", "svhn"):
        loaded = load_experiment(write(tmp_path, search_file_text(name)))
        assert loaded.file.data.name == name
        assert set(loaded.recipes.free_parameters) == {"lr", "weight_decay", "dropout"}


def test_more_images_are_recommended_a_larger_budget(tmp_path):
    budgets = {name: load_experiment(write(tmp_path, search_file_text(name))).budget for name in ("digits", "cifar10")}
    assert (budgets["digits"].params, budgets["digits"].macs) == (60_000, 6_000_000)
    assert (budgets["cifar10"].params, budgets["cifar10"].macs) == (400_000, 40_000_000)
    np.savez(tmp_path / "own.npz", images=np.zeros((10_000, 1, 1), np.uint8), labels=np.arange(10_000) % 2)
    own = search_file_text("imagefolder", path=str(tmp_path / "own.npz"), image_size=16)
    assert re.search(r'^params = "80k"  # .*\b10 per training image.*\b60k', own, re.MULTILINE)
    assert recommended_budget(1_280_000, 224 * 224) == ("13M", "1.3G")


@pytest.mark.parametrize("side", [8, 16, 32, 64, 96, 128, 224])
def test_few_images_of_any_size_are_recommended_a_budget_that_much_of_the_space_meets(tmp_path, side):
    text = search_file_text("imagefolder", path=two_classes(tmp_path, 1), image_size=side)
    constrained = load_experiment(write(tmp_path, text)).constrained
    with_params_limit = count(ConstrainedSpace(constrained.space, Budget(params=constrained.budget.params)))
    assert count(constrained).low > 0.5 * with_params_limit.high


@pytest.mark.parametrize("name", ["digits", "cifar10", "glyphs"])
def test_the_template_explains_every_key_in_one_sentence(name):
    keys = [text for text in search_file_text(name).splitlines() if re.match(r"(# )?\w+ = ", text)]
    comments = [text.rpartition("  # ")[2] for text in keys]
    assert [text for text in comments if not re.fullmatch(r"[A-Z].*\.", text)] == []


def test_every_recipe_key_has_a_comment_and_no_other():
    assert set(RECIPE_COMMENTS) == {*Recipe().to_json(), *ZeroShotRecipe().to_json()}


def test_a_byte_order_mark_is_accepted(tmp_path):
    assert load_experiment(write(tmp_path, b'\xef\xbb\xbfname = "x"')).file.name == "x"


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("[recipe]\nepoch = 3", r":2: recipe.epoch: unknown .*'epoch'.*'epochs'"),
        ("[serch]\ntrials = 3", r"serch: unknown key 'serch'.*'search'"),
        ("[search]\ntrails = 3", r":2: search.trails: unknown key 'trails'.*'trials'"),
        ("[search]\n\ntrials = 3.7", r":3: search.trials should be a valid integer.*3.7"),
        ("[search]\ntrials = true", r"search.trials should be a valid integer.*True"),
        ('[search]\ntrials = "three"', r"search.trials should be a valid integer.*'three'"),
        ("[search]\ntrials = 0", r"search.trials should be greater than or equal to 1.*0"),
        ("[search]\ntrials = 2000000", r"search.trials should be less than or equal to 1000000"),
        ("[search]\nseed = -1", r"search.seed should be greater than or equal to 0"),
        ("[search]\nseed = 4294967296", r"search.seed should be less than or equal to 4294967295"),
        ('[search]\nsearcher = "evoluton"', r"unknown searcher 'evoluton'.*grid"),
        ('[search]\nscheduler = "ahsa"', r"search.scheduler should be 'none', 'asha', .* but got 'ahsa'"),
        ('[search]\nscheduler = "asha"\ngrace_epochs = 50', r"grace_epochs .*recipe.epochs.*50.* 12"),
        ("[recipe]\nepochs = 0", r"recipe.epochs .*at least 1.* 0\b"),
        ("[recipe]\nepochs = true", r"recipe.epochs .*True"),
        ("[recipe]\nlr = nan", r"recipe.lr .*above 0.*nan"),
        ("[recipe]\nlr = -0.1", r"recipe.lr .*above 0.*-0.1"),
        ("[recipe]\nlr = { low = 1.0, high = 0.1 }", r"recipe.lr.*low.*high.*1.0.*0.1"),
        ("[recipe]\nlr = { low = 0, high = 0.1, log = true }", r"recipe.lr.*logarithmic.*low.*0"),
        ("[recipe]\nlr = { lo = 0, high = 0.1 }", r"recipe.lr 'lo'.*'low'"),
        ("[recipe]\nlr = { low = 0.1 }", r"recipe.lr .*low and high"),
        ("[recipe]\ndropout = []", r"recipe.dropout.*at least one option"),
        ("[recipe]\ndropout = [0.1, 0.1]", r"recipe.dropout.*0.1.*twice"),
        ("[recipe]\naugmentation = { low = 0, high = 1 }", r"recipe.augmentation .*none"),
        ('[search]\nsearcher = "grid"\n[recipe]\nlr = { low = 0.1, high = 1.0 }', r"grid.*recipe.lr"),
        ("[data]\nval_fraction = 1.5", r"data.val_fraction should be less than 1"),
        ("[data]\nval_fraction = 0", r"data.val_fraction should be greater than 0"),
        ('[data]\nname = "digit"', r"unknown data set 'digit'.*'digits'"),
        ('[data]\nname = "imagefolder"', r"'imagefolder'.*path"),
        ('[budget]\nparams = "5MM"', r"budget.params .*'5MM'"),
        ('[budget]\nparms = "5M"', r"unknown .*'parms'.*'params'"),
        ('[space]\nname = "mixd"', r"unknown space 'mixd'.*'mixed'"),
        ('[space]\nname = "mixed"\n[[space.stages]]\nblock = "conv-pool"\nwidth = 8', r"name or stages.*'mixed'"),
        ('[[space.stages]]\nblock = "resdual"\nwidth = 8', r"space.stages.0: .*'resdual'.*'residual'"),
        (
            '[[space.stages]]\nblock = "conv-pool"\nwidth = 0',
            r"space.stages.0: .*width .*at least 1.* 0\b",
        ),
        ('[[space.stages]]\nblock = "conv-pool"\nwidth = [8, "9"]', r"space.stages.0.width"),
        ('[[space.stages]]\nblock = "conv-pool"\nwidth = 8\nkernel = 4', r"kernel .*odd.* 4"),
        (
            '[[space.stages]]\nblock = "inverted-residual"\nwidth = 8\nexpansion = 0',
            r"space.stages.0: inverted-residual: expansion .*above 0.* 0; use 1",
        ),
        (
            '[[space.stages]]\nblock = "inverted-residual"\nwidth = 8\nratio = 0.5',
            r"space.stages.0: .*inverted-residual 'ratio'.*expansion",
        ),
        (
            '[[space.stages]]\nblock = "grouped-bottleneck"\nwidth = 48\ngroups = 5',
            r"grouped-bottleneck.*groups 5 with 48 channels; use 4 or 6",
        ),
        ('[space]\nbackbone = "timm:resnet18"\nimage_size = 8', r"space.backbone has .*space.image_size"),
        ("[space]\nimage_size = [8, 0]", r"image_size must be .*\[8, 0\]; use 224"),
        ('[[space.stages]]\nblock = "conv-pool"', r"space.stages.0.width is missing"),
        ("[resources]\ngpus_per_trial = 1.5", r"resources.gpus_per_trial .*fraction.*1.5"),
        ("[budget]\nparams = 100", r"params <= 100.* cheapest .*params [\d,]+ \("),
        ("a = " + "[" * 2000 + "]" * 2000, r"nests .*deeply"),
        ("# x\n" * 300_000, r"1,000,000 bytes.* 1,200,000"),
        ("[space]\nstages = []", r":2: space.stages list should have at least 1 item"),
        ('[[space.stages]]\nblock = "conv-pool"\nwidth = [8, "a"]', r"space.stages.0.width.1 should be .*but got 'a'"),
        ('[[space.stages]]\nblock = "conv-pool"\nwidth = [8, 8]', r"space.stages.0: .* 8 is there twice"),
        ('[[space.stages]]\nblock = "conv-pool"\nwidth = []', r"space.stages.0: .*at least one option"),
        ("[recipe]\nlr = { low = 1.0, high = 0.1 }", r":2: recipe.lr: .*low.*high"),
        ("[recipe]\nlr = { low = nan, high = 0.1 }", r":2: recipe.lr: .*finite"),
        ("[recipe]\ndropout = [0.1, 0.1]", r":2: recipe.dropout: .*twice"),
        ('[recipe]\nlr = [0.1, "fast"]', r":2: recipe.lr .*above 0.*'fast'"),
        ("[recipe]\nbatch_size = 0", r":2: recipe.batch_size .*at least 1.* 0\b"),
        ('[data]\npath = "images"', r"data.path and data.download .*digits"),
        ("space = 3", r"space should be .*but got 3"),
        ('[search]\nobjectives = ["test_accuracy"]\nsearcher = "nsga2"', r"objectives: test_accuracy cannot select"),
        ('[search]\nobjectives = ["macs", "macs"]\nsearcher = "nsga2"', r"objectives .*macs.*macs"),
        ('[search]\nobjectives = []\nsearcher = "nsga2"', r"objectives .*at least one.*\[\]"),
        ('[search]\nobjectives = ["macs"]', r"search.objectives .*val_accuracy.*gp.*\['macs'\].*nsga2"),
        ("[search]\nreduction_factor = 1", r"search.reduction_factor should be greater than or equal to 2"),
        ('[search]\ntime_limit = "2 hours"', r":2: search.time_limit .*\"1h30m\".*'2 hours'"),
        ('[search]\ntime_limit = "30m2h"', r"search.time_limit .*'30m2h'"),
        ('[search]\ntime_limit = "0m"', r"search.time_limit .*above 0.*'0m'"),
        ("[search]\ntime_limit = -5", r"search.time_limit .*above 0.*-5"),
        ("[search]\ntime_limit = true", r"search.time_limit .*True"),
        ("[search]\ntime_limit = nan", r"search.time_limit .*nan"),
        ("[data]\npath = 2024-05-01", r':2: data.path must be text.*path = "2024-05-01"'),
        ('[data]\npath = "C:\\Users\\me"', r"line 2.*single quotes: 'C:\\Users\\me'"),
        ("[search]\nseed = 1.5", r"search.seed should be a valid integer"),
        ('[search]\nstart_from = ["nonet"]', r"search.start_from: nonet: unknown network 'nonet'"),
        ('[search]\nstart_from = ["net.json"]', r"search.start_from: net.json: .*none in"),
        ('[search]\nstart_from = ["resnet20-cifar"]', r"search.start_from: resnet20-cifar .*'mixed'"),
        ("[resources]\ncpus_per_trial = nan", r"resources.cpus_per_trial should be greater than 0"),
        ('[resources]\nprecision = "fp16"', r"resources.precision should be 'fp32' or 'bf16', but got 'fp16'"),
        ("[budget]\nparams = -1", r"budget.params .*at least 0.*-1"),
        ('[budget]\nparams = "5m"', r"budget.params .*\"5M\""),
        ('[budget]\nparams = "1M"\nmin_params = "5M"', r"budget.min_params .*budget.params.*5000000.*1000000"),
        ("[budget]\nlatency_ms = nan", r"budget.latency_ms .*above 0"),
        ("a = 1\na = 2", r"TOML: .*line 2"),
        ("name = ", r"TOML: .*line 1"),
        ("", r"is empty.*`archsieve init`"),
        (b"\xff\xfe\x00", r"UTF-8.*byte 0"),
    ],
)
def test_a_mistake_is_one_error_with_place_and_fix(tmp_path, text, pattern):
    with pytest.raises(SearchFileError) as caught:
        load_experiment(write(tmp_path, text))
    assert re.search(pattern, str(caught.value)), caught.value
    assert "\n" not in str(caught.value).strip()


def test_too_many_halvings_name_the_block(tmp_path):
    stages = '[[space.stages]]\nblock = "conv-pool"\nwidth = 8\n' * 4
    with pytest.raises(SearchFileError, match=r"block 4 \(conv-pool\)"):
        load_experiment(write(tmp_path, stages))


def test_a_missing_file_and_a_folder_have_different_errors(tmp_path):
    with pytest.raises(SearchFileError, match=r"no search file .*none.toml.*archsieve init"):
        load_experiment(tmp_path / "none.toml")
    with pytest.raises(SearchFileError, match=r"is a folder"):
        load_experiment(tmp_path)


def test_overrides_replace_keys_of_the_file(tmp_path):
    path = write(tmp_path, "[recipe]\nepochs = 3")
    loaded = load_experiment(
        path, ["recipe.epochs=5", "search.searcher=random", "budget.params=50k", "recipe.epochs=6"]
    )
    assert loaded.recipes.largest("epochs") == 6
    assert loaded.file.search.searcher == "random"
    assert loaded.budget.params == 50_000


@pytest.mark.parametrize(
    ("override", "pattern"),
    [
        ("recipe.lr", r"key=value.*'recipe.lr'"),
        ("=3", r"key=value.*'=3'"),
        ("a.b.c=1", r"a: unknown key 'a'"),
        (
            "recipe.epochs=abc",
            r"^-s recipe.epochs=abc: recipe.epochs .*at least 1.*'abc'",
        ),
        ("name.x=1", r"'name.x=1': name is a value"),
    ],
)
def test_a_wrong_override_is_named(tmp_path, override, pattern):
    with pytest.raises(ValueError, match=pattern):
        load_experiment(write(tmp_path, 'name = "x"'), [override])


def test_a_key_that_is_overridden_twice_is_reported():
    assert overridden_twice(["a.b=1", "c=2", "a.b=1"]) == []
    (note,) = overridden_twice(["a.b=1", "c=2", "a.b = 3"])
    assert re.search(r"^a\.b .*2 times.* 1, 3\b", note)


def test_a_mistake_in_the_file_is_not_attributed_to_an_override(tmp_path):
    with pytest.raises(SearchFileError, match=r"search.toml:2: recipe.epochs"):
        load_experiment(write(tmp_path, "[recipe]\nepochs = 0"), ["recipe.lr=0.1"])
    with pytest.raises(SearchFileError, match=r"^-s recipe.epochs=0: recipe.epochs"):
        load_experiment(write(tmp_path, "[recipe]\nepochs = 3"), ["recipe.epochs=2", "recipe.epochs=0"])


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("1d", 86400),
        ("90", 90),
        (90, 90),
        (0.5, 0.5),
    ],
)
def test_a_time_limit_is_text_with_units_or_seconds(value, seconds):
    assert parse_duration(value) == seconds
    assert parse({"search": {"time_limit": value}}).search.time_limit == value


def test_a_path_with_characters_outside_the_basic_plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = "fotos \U0001f431 é"
    for name in ("cat", "dog"):
        (tmp_path / path / name).mkdir(parents=True)
        (tmp_path / path / name / "0.png").write_bytes(b"")
    for folder in (None, tmp_path / "runs"):
        text = search_file_text("images", path=path, image_size=16, folder=folder)
        assert tomllib.loads(text)["data"]["path"] == (path if folder is None else f"../{path}")
