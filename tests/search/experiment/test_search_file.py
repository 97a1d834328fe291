"""Search files: what is accepted, and the one error for what is not."""

import re
from pathlib import Path

import pytest

from archsieve.search.experiment.search_file import SearchFileError, load_experiment, overridden_twice
from archsieve.search.experiment.template import recommended, search_file_text
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.sampling import count

EXAMPLES = Path(__file__).parents[3] / "examples"


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "search.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def two_classes(tmp_path: Path, each: int) -> str:
    """A folder of two classes with ``each`` files, which count and hold nothing."""
    for name in ("a", "b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(each):
            (tmp_path / "pictures" / name / f"{number}.png").touch()
    return str(tmp_path / "pictures")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_example_is_a_search_that_can_start(path):
    found = load_experiment(path)
    assert found.budget.params
    assert found.sieve.size > 100


def test_the_template_of_every_data_set_is_a_search_that_can_start(tmp_path):
    for name in ("digits", "fashion-mnist", "cifar10", "cifar100", "svhn"):
        found = load_experiment(write(tmp_path, search_file_text(name)))
        assert found.file.data.name == name
        assert set(found.recipes.holes) == {"lr", "weight_decay", "dropout"}


def test_more_pictures_are_recommended_a_larger_budget(tmp_path):
    told = {name: load_experiment(write(tmp_path, search_file_text(name))).budget for name in ("digits", "cifar10")}
    assert (told["digits"].params, told["digits"].macs) == (60_000, 6_000_000)
    assert (told["cifar10"].params, told["cifar10"].macs) == (400_000, 40_000_000)
    folder = search_file_text("imagefolder", path=two_classes(tmp_path, 5_000), image_size=16)
    assert 'params = "80k"  # trainable parameters, 10 a training picture and 60k at least' in folder
    assert recommended(1_280_000, 224 * 224) == ("13M", "1.3G")


@pytest.mark.parametrize("side", [8, 16, 32, 64, 96, 128, 224])
def test_few_pictures_of_any_size_are_recommended_a_budget_that_much_of_the_space_meets(tmp_path, side):
    text = search_file_text("imagefolder", path=two_classes(tmp_path, 1), image_size=side)
    sieve = load_experiment(write(tmp_path, text)).sieve
    of_params = count(ConstrainedSpace(sieve.space, Budget(params=sieve.budget.params)))
    assert count(sieve).low > 0.5 * of_params.high


def test_a_byte_order_mark_is_accepted(tmp_path):
    assert load_experiment(write(tmp_path, b'\xef\xbb\xbfname = "x"')).file.name == "x"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[recipe]\nepoch = 3", r":2: recipe.epoch: unknown recipe key 'epoch'; did you mean 'epochs'"),
        ("[serch]\ntrials = 3", r"serch: unknown key 'serch'; did you mean 'search'"),
        ("[search]\ntrails = 3", r":2: search.trails: unknown key 'trails'; did you mean 'trials'"),
        ("[search]\n\ntrials = 3.7", r":3: search.trials should be a valid integer.*3.7"),
        ("[search]\ntrials = true", r"search.trials should be a valid integer.*True"),
        ('[search]\ntrials = "three"', r"search.trials should be a valid integer.*'three'"),
        ("[search]\ntrials = 0", r"search.trials should be greater than or equal to 1.*0"),
        ("[search]\ntrials = 2000000", r"search.trials should be less than or equal to 1000000"),
        ("[search]\nseed = -1", r"search.seed should be greater than or equal to 0"),
        ("[search]\nseed = 4294967296", r"search.seed should be less than or equal to 4294967295"),
        ('[search]\nsearcher = "evoluton"', r"unknown searcher 'evoluton'.*grid"),
        ('[search]\nscheduler = "ahsa"', r"search.scheduler should be 'none', 'asha', .* but got 'ahsa'"),
        ('[search]\nscheduler = "asha"\ngrace_epochs = 50', r"grace_epochs must be at most recipe.epochs.*50 and 12"),
        ("[recipe]\nepochs = 0", r"recipe.epochs must be a whole number of at least 1, but got 0"),
        ("[recipe]\nepochs = true", r"recipe.epochs must be a whole number"),
        ("[recipe]\nlr = nan", r"recipe.lr must be a number above 0, but got nan"),
        ("[recipe]\nlr = -0.1", r"recipe.lr must be a number above 0, but got -0.1"),
        ("[recipe]\nlr = { low = 1.0, high = 0.1 }", r"`low < high` must hold, but got \(low=1.0, high=0.1\)"),
        ("[recipe]\nlr = { low = 0, high = 0.1, log = true }", r"logarithmic range needs low > 0"),
        ("[recipe]\nlr = { lo = 0, high = 0.1 }", r"unknown key of recipe.lr 'lo'; did you mean 'low'"),
        ("[recipe]\nlr = { low = 0.1 }", r"recipe.lr is a range and needs low and high"),
        ("[recipe]\ndropout = []", r"at least one option"),
        ("[recipe]\ndropout = [0.1, 0.1]", r"0.1 is there twice"),
        ("[recipe]\naugmentation = { low = 0, high = 1 }", r"recipe.augmentation must be one of none"),
        ('[search]\nsearcher = "grid"\n[recipe]\nlr = { low = 0.1, high = 1.0 }', r"grid.*recipe.lr.*0.1 to 1.0"),
        ("[data]\nval_fraction = 1.5", r"data.val_fraction should be less than 1"),
        ("[data]\nval_fraction = 0", r"data.val_fraction should be greater than 0"),
        ('[data]\nname = "digit"', r"unknown data set 'digit'; did you mean 'digits'"),
        ('[data]\nname = "imagefolder"', r"needs a path"),
        ('[budget]\nparams = "5MM"', r"budget.params must be a whole number.*'5MM'"),
        ('[budget]\nparms = "5M"', r"unknown budget key 'parms'; did you mean 'params'"),
        ('[space]\nname = "mixd"', r"unknown space 'mixd'; did you mean 'mixed'"),
        ('[space]\nname = "mixed"\n[[space.stages]]\nblock = "conv-pool"\nwidth = 8', r"a name or stages"),
        ('[[space.stages]]\nblock = "resdual"\nwidth = 8', r"'resdual'; did you mean 'residual'"),
        (
            '[[space.stages]]\nblock = "conv-pool"\nwidth = 0',
            r"width of a stage must be a whole number of at least 1.*but got 0",
        ),
        ('[[space.stages]]\nblock = "conv-pool"\nwidth = [8, "9"]', r"space.stages.0.width"),
        ('[[space.stages]]\nblock = "conv-pool"\nwidth = 8\nkernel = 4', r"kernel must be an odd whole number"),
        ('[[space.stages]]\nblock = "conv-pool"', r"space.stages.0.width is missing"),
        ("[resources]\ngpus_per_trial = 1.5", r"resources.gpus_per_trial must be a fraction of one GPU or a whole"),
        ("[budget]\nparams = 100", r"fits params <= 100: the cheapest architecture has params [\d,]+ \("),
        ("a = " + "[" * 2000 + "]" * 2000, r"nests lists or tables too deeply"),
        ("# x\n" * 300_000, r"has at most 1,000,000 bytes, but .* has 1,200,000"),
        ("[space]\nstages = []", r":2: space.stages list should have at least 1 item"),
        ('[[space.stages]]\nblock = "conv-pool"\nwidth = [8, "a"]', r"space.stages.0.width.1 should be .*but got 'a'"),
        ('[[space.stages]]\nblock = "conv-pool"\nwidth = [8, 8]', r"space.stages.0: .* 8 is there twice"),
        ('[[space.stages]]\nblock = "conv-pool"\nwidth = []', r"space.stages.0: .*at least one option"),
        ("[recipe]\nlr = { low = 1.0, high = 0.1 }", r":2: recipe.lr: `low < high` must hold"),
        ("[recipe]\nlr = { low = nan, high = 0.1 }", r":2: recipe.lr: a range needs a finite number"),
        ("[recipe]\ndropout = [0.1, 0.1]", r":2: recipe.dropout: .*twice"),
        ('[recipe]\nlr = [0.1, "fast"]', r":2: recipe.lr must be a number above 0, but got 'fast'"),
        ("[recipe]\nbatch_size = 0", r":2: recipe.batch_size must be a whole number of at least 1"),
        ('[data]\npath = "pictures"', r"data.path and data.download are for data in files"),
        ("space = 3", r"space should be .*but got 3"),
        ('[search]\nobjectives = ["test_accuracy"]\nsearcher = "nsga2"', r"unknown objective 'test_accuracy'"),
        ('[search]\nobjectives = ["macs", "macs"]\nsearcher = "nsga2"', r"search.objectives.*\['macs', 'macs'\]"),
        ('[search]\nobjectives = []\nsearcher = "nsga2"', r"search.objectives.*\[\]"),
        ('[search]\nobjectives = ["macs"]', r"search.objectives.*val_accuracy.*gp.*\['macs'\].*searcher = \"nsga2\""),
        ("[search]\nreduction_factor = 1", r"search.reduction_factor should be greater than or equal to 2"),
        ("[search]\nseed = 1.5", r"search.seed should be a valid integer"),
        ('[search]\nstart_from = ["nonet"]', r"search.start_from: nonet: unknown network.*did you mean"),
        ('[search]\nstart_from = ["net.json"]', r"search.start_from: net.json: the file must exist"),
        ('[search]\nstart_from = ["resnet20-cifar"]', r"search.start_from: resnet20-cifar .*'mixed'"),
        ("[resources]\ncpus_per_trial = nan", r"resources.cpus_per_trial should be greater than 0"),
        ('[resources]\nprecision = "fp16"', r"resources.precision should be 'fp32' or 'bf16', but got 'fp16'"),
        ("[budget]\nparams = -1", r"budget.params must be a whole number of at least 0"),
        ('[budget]\nparams = "5m"', r"did you mean \"5M\"\?"),
        ('[budget]\nparams = "1M"\nmin_params = "5M"', r"budget.min_params <= budget.params must hold"),
        ("[budget]\nlatency_ms = nan", r"budget.latency_ms must be a number of milliseconds above 0"),
        ("a = 1\na = 2", r"is no TOML: .*line 2"),
        ("name = ", r"is no TOML: .*line 1"),
        ("", r"is empty; `archsieve init`"),
        (b"\xff\xfe\x00", r"is not UTF-8 text: byte 0"),
    ],
)
def test_a_mistake_is_one_error_that_names_place_and_cure(tmp_path, text, said):
    with pytest.raises(SearchFileError) as caught:
        load_experiment(write(tmp_path, text))
    assert re.search(said, str(caught.value)), caught.value
    assert "\n" not in str(caught.value).strip()


def test_stages_that_empty_the_picture_name_the_block(tmp_path):
    stages = '[[space.stages]]\nblock = "conv-pool"\nwidth = 8\n' * 4
    with pytest.raises(SearchFileError, match=r"holds no architecture: block 4 \(conv-pool\): the window must fit"):
        load_experiment(write(tmp_path, stages))


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(SearchFileError, match=r"there is no search file .*archsieve init"):
        load_experiment(tmp_path / "none.toml")
    with pytest.raises(SearchFileError, match=r"is a folder"):
        load_experiment(tmp_path)


def test_overrides_are_laid_over_the_file(tmp_path):
    path = write(tmp_path, "[recipe]\nepochs = 3")
    found = load_experiment(path, ["recipe.epochs=5", "search.searcher=random", "budget.params=50k", "recipe.epochs=6"])
    assert found.recipes.largest("epochs") == 6
    assert found.file.search.searcher == "random"
    assert found.budget.params == 50_000


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("recipe.lr", r"an override is written key=value"),
        ("=3", r"an override is written key=value"),
        ("a.b.c=1", r"a: unknown key 'a'"),
        (
            "recipe.epochs=abc",
            r"^-s recipe.epochs=abc: recipe.epochs must be a whole number of at least 1, but got 'abc'",
        ),
        ("name.x=1", r"name is a value, not a table"),
    ],
)
def test_a_wrong_override_says_which(tmp_path, override, said):
    with pytest.raises(ValueError, match=said):
        load_experiment(write(tmp_path, 'name = "x"'), [override])


def test_a_key_that_is_overridden_twice_is_told():
    assert overridden_twice(["a.b=1", "c=2", "a.b=1"]) == []
    assert overridden_twice(["a.b=1", "c=2", "a.b = 3"]) == ["a.b is set 2 times, to 1, 3; the last holds"]


def test_a_mistake_of_the_file_is_not_put_down_to_an_override(tmp_path):
    with pytest.raises(SearchFileError, match=r"search.toml:2: recipe.epochs"):
        load_experiment(write(tmp_path, "[recipe]\nepochs = 0"), ["recipe.lr=0.1"])
    with pytest.raises(SearchFileError, match=r"^-s recipe.epochs=0: recipe.epochs"):
        load_experiment(write(tmp_path, "[recipe]\nepochs = 3"), ["recipe.epochs=2", "recipe.epochs=0"])
