"""The command line as a user meets it: in a process of its own."""

import json
import re
import subprocess
import sys

import pytest

SEARCH = """
name = "tiny"
[data]
limit = 200
[budget]
params = "20k"
macs = "1M"
[space]
stem = 8
[[space.stages]]
block = ["conv-pool", "residual", "inception"]
width = [8, 16]
[recipe]
epochs = 1
lr = [0.1, 0.3]
[search]
trials = 3
searcher = "random"
"""


def test_a_search_from_the_command_line_and_every_question_after_it(command, tmp_path):
    (tmp_path / "tiny.toml").write_text(SEARCH)
    # the folder's own models/ and search/ must not get in the way
    for name in ("models", "search"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('the wrong package')")

    code, out, err = command("search", "tiny.toml", "--json", "-s", "recipe.lr_end=0.5")
    assert code == 0, err
    assert "note: recipe.lr_end may be 0.5: a schedule that ends above a hundredth of its start" in err
    told = json.loads(out)
    assert told["run"] == "tiny"
    assert told["trials"] == 3
    assert "[3/3]" in err
    assert "Traceback" not in err
    assert "WARNING" not in err
    assert (tmp_path / told["report"]).exists()
    assert list((tmp_path / "home").iterdir()) == []

    code, out, err = command("results", "best", "--max-params", "20k", "--json")
    assert code == 0, err
    (winner,) = json.loads(out)
    assert winner["trial"] == told["best"][0]["trial"]
    assert winner["params"] <= 20_000
    assert winner["val_error"] == pytest.approx(1 - winner["val_accuracy"])

    code, out, _ = command("results", "list", "--sort", "params", "--json")
    assert [trial["params"] for trial in json.loads(out)] == sorted(trial["params"] for trial in json.loads(out))
    code, out, _ = command("results", "pareto", "--objectives", "val_accuracy,params", "--json")
    assert winner["trial"] in [trial["trial"] for trial in json.loads(out)]
    code, out, _ = command("results", "show", str(winner["trial"]), "--json")
    assert sum(layer["macs"] for layer in json.loads(out)["layers"]) == winner["macs"]
    code, out, _ = command("status", "--json")
    assert json.loads(out)[0]["completed"] == 3

    code, out, err = command("results", "best", "--max-params", "10", "--json")
    assert (code, json.loads(out)) == (3, [])
    assert re.search(r"0 of 3 trials have params <= 10; the smallest has .* \(trial \d\)", err)

    code, _, err = command("search", "tiny.toml")
    assert code == 2
    assert "'tiny' exists" in err
    assert "Traceback" not in err


def test_if_all_trials_fail_the_exit_code_and_the_reason_say_so(command, tmp_path):
    (tmp_path / "tiny.toml").write_text(SEARCH)
    code, _, err = command("search", "tiny.toml", "-s", "recipe.lr=1e30", "-s", "search.trials=2")
    assert code == 3
    assert "2 of 2 trials failed, most often because of: Diverged: losses must stay finite" in err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["search", "none.toml"], 2, "there is no search file none.toml"),
        (["search", "tiny.toml", "-s", "budget.params=100"], 2, r"fits params <= 100: the cheapest"),
        (["search", "tiny.toml", "-s", "search.trails=3"], 2, "did you mean 'trials'"),
        (["search", "tiny.toml", "--name", "../x"], 6, "'../x'"),
        (["search", "tiny.toml", "--name", ".hidden"], 2, "a run name is"),
        (["search", "tiny.toml", "-s", "resources.gpus_per_trial=64"], 4, "asks for 64 GPUs, but there are"),
        (["space", "mixd"], 2, "unknown space 'mixd'; did you mean 'mixed'"),
        (["space", "mixed", "--max-params", "5MM"], 2, "--max-params must be a whole number"),
        (["space", "mixed", "--max-params", "100"], 2, "the cheapest architecture has params"),
        (["profile", "resnet5"], 2, "unknown network 'resnet5'; did you mean 'resnet50'"),
        (["profile", "resnet50", "--input", "224"], 2, "--input is channels x height x width"),
        (["profile", "none.json"], 2, "there is no architecture file none.json"),
        (["results", "best"], 5, "archsieve.db"),
        (["init", "digit"], 2, "did you mean 'digits'"),
        (["frob"], 2, "No such command 'frob'"),
    ],
)
def test_a_mistake_is_one_message_an_exit_code_and_nothing_written(command, tmp_path, arguments, code, said):
    (tmp_path / "tiny.toml").write_text(SEARCH)
    got, out, err = command(*arguments)
    assert got == code, err
    assert re.search(said, err), err
    assert "Traceback" not in err
    assert out == ""
    if code == 2:
        assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "tiny.toml"]


def test_init_writes_a_file_once(command, tmp_path):
    code, out, _ = command("init")
    assert code == 0
    assert "archsieve search digits.toml" in out
    before = (tmp_path / "digits.toml").read_text()
    code, _, err = command("init")
    assert code == 2
    assert "exists and is left as it is" in err
    assert (tmp_path / "digits.toml").read_text() == before


def test_profile_prints_the_published_counts(command):
    _, out, _ = command("profile", "alexnet-2012", "--json")
    told = json.loads(out)
    assert (told["params"], told["macs"], told["flops"]) == (60_965_224, 724_406_816, 1_448_813_632)
    weighted = {layer["name"]: layer for layer in told["layers"] if layer["params"]}
    assert weighted["fc6"]["params"] == 37_752_832
    assert weighted["conv2"]["macs"] == 223_948_800
    convolutions = [layer for name, layer in weighted.items() if name.startswith("conv")]
    biases = sum(layer["out_shape"][0] for layer in convolutions)
    assert told["convolution_weights"] == sum(layer["params"] for layer in convolutions) - biases
    assert told["locally_connected_weights"] == sum(layer["macs"] for layer in convolutions)
    _, out, _ = command("profile", "alexnet-2012", "--remove", "7")
    assert "weight sharing: the convolutions have 2,332,704 weights" in out
    assert f"{60_965_224 - 16_781_312:,}" in out


def test_a_stored_architecture_is_priced(command, tmp_path):
    from archsieve.spaces.architectures.catalogue import named

    (tmp_path / "net.json").write_text(json.dumps(named("resnet20-cifar").to_json()))
    code, out, _ = command("profile", "net.json", "--json")
    assert (code, json.loads(out)["params"]) == (0, 269_722)


def test_space_counts_and_samples_inside_the_budget(command):
    code, out, _ = command(
        "space", "mixed", "--max-params", "60k", "--max-macs", "6M", "--sample", "5", "--count", "--json"
    )
    told = json.loads(out)
    assert code == 0
    assert 0 < told["feasible"] < told["size"]
    assert all(s["params"] <= 60_000 and s["macs"] <= 6_000_000 for s in told["sample"])


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["profile", "resnet50"], ["space", "mixed"], ["results", "list"], ["init", "-o", "x.toml"]],
)
def test_what_trains_nothing_imports_neither_torch_nor_ray(tmp_path, arguments):
    script = (
        "import sys\n"
        f"sys.argv = ['archsieve', *{arguments!r}]\n"
        "from archsieve.search.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'ray', 'optuna', 'pandas', 'plotly', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_version(command):
    code, out, _ = command("--version")
    assert (code, out.split()[0]) == (0, "archsieve")


def test_a_removal_says_what_it_saved(command):
    _, out, _ = command("profile", "alexnet-2012", "--remove", "3,4,6,7", "--json")
    told = json.loads(out)
    assert told["removed"] == [3, 4, 6, 7]
    assert (told["saved"]["params"], round(told["saved"]["macs_share"], 3)) == (51_110_656, 0.464)
    assert told["saved"]["macs"] == 724_406_816 - told["macs"]
    assert told["saved"]["params_share"] == 51_110_656 / 60_965_224
    _, out, _ = command("profile", "alexnet-2012", "--remove", "3,4,6,7")
    assert "saved params 51,110,656 of 60,965,224 (83.8%)" in out
    assert "(46.4%)" in out


def test_a_stored_architecture_loses_layers_too(command, tmp_path):
    from archsieve.spaces.architectures.catalogue import named

    (tmp_path / "net.json").write_text(json.dumps(named("alexnet").to_json()))
    _, out, _ = command("profile", "net.json", "--remove", "7", "--json")
    assert json.loads(out)["saved"]["params"] == 16_781_312


@pytest.mark.parametrize(("witness", "apart"), [("torch", {}), ("fvcore", {"batch_norm", "adaptive_avg_pool2d"})])
def test_a_witness_counts_the_built_network(command, witness, apart):
    code, out, err = command("profile", "resnet20-cifar", "--witness", witness, "--json")
    assert code == 0, err
    told = json.loads(out)
    rows = told["witness"]["differences"]
    assert told["witness"]["params"] == told["params"]
    assert told["witness"]["total_macs"] - told["macs"] == sum(row["theirs"] - row["ours"] for row in rows)
    assert {row["operator"] for row in rows} <= set(apart)
    _, out, _ = command("profile", "resnet20-cifar", "--witness", witness)
    assert f"witness {witness} " in out


def test_a_network_of_timm_is_profiled_and_measured(command):
    code, out, err = command(
        "profile", "timm:resnet18", "--input", "3x64x64", "--witness", "fvcore", "--device", "cpu", "--json"
    )
    assert code == 0, err
    told = json.loads(out)
    assert (told["params"], told["attention_macs"]) == (11_689_512, 0)
    assert told["macs"] == sum(layer["macs"] for layer in told["layers"]) == told["total_macs"]
    assert {row["operator"] for row in told["witness"]["differences"]} == {"batch_norm", "adaptive_avg_pool2d"}
    assert 0 < told["measured"]["latency_ms_p50"] <= told["measured"]["latency_ms_p90"]


def test_a_network_of_torchvision_is_profiled(command):
    code, out, err = command("profile", "torchvision:vgg16")
    assert code == 0, err
    assert "macs 15,470,264,320: convolutions and linear layers" in out
    assert "params 138,357,544" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["timm:resnet81"], "unknown timm network 'resnet81'; did you mean"),
        (["torchvision:vgg16", "--remove", "3"], "--remove takes layers out of a network of the catalogue"),
        (["resnet18", "--witness", "fvcor"], "unknown witness 'fvcor'; did you mean 'fvcore'"),
        (["timm:resnet18", "--input", "5x8x8x8"], "--input is channels x height x width"),
    ],
)
def test_a_profile_that_cannot_be_says_why(command, arguments, said):
    code, out, err = command("profile", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
