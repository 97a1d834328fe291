"""The command line as users run it: the main job in a separate process, other commands in this one.

A new process imports torch for seconds.
"""

import json
import re
import subprocess
import sys

import pytest

from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.device_cost import device_cost

SEARCH = """
name = "tiny"
[data]
limit = 200
[budget]
params = "20k"
macs = "1M"
ram = "4kB"
flash = "30kB"
precision = "int8"
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


def test_a_search_and_all_queries_of_its_results(command, tmp_path):
    (tmp_path / "tiny.toml").write_text(SEARCH)
    # folders of the user with the names of our sub-packages must not be imported instead of ours
    for name in ("models", "search"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('the wrong package')")

    code, out, err = command("search", "tiny.toml", "--json", "-s", "recipe.lr_end=0.5")
    assert code == 0, err
    assert "note: recipe.lr_end may be 0.5" in err
    report = json.loads(out)
    assert report["run"] == "tiny"
    assert report["trials"] == 3
    assert "[3/3]" in err
    assert "Traceback" not in err
    assert "WARNING" not in err
    assert (tmp_path / report["report"]).exists()
    assert list((tmp_path / "home").iterdir()) == []

    code, out, err = command("results", "best", "--max-params", "20k", "--json")
    assert code == 0, err
    (winner,) = json.loads(out)
    assert winner["trial"] == report["best"][0]["trial"]
    assert winner["params"] <= 20_000
    assert winner["val_error"] == pytest.approx(1 - winner["val_accuracy"])

    network = Architecture.from_json(winner["architecture"])
    assert (winner["ram_bytes"], winner["flash_bytes"]) == device_cost(network, "int8")
    assert winner["ram_bytes"] <= 4_000
    assert winner["flash_bytes"] <= 30_000
    assert "Memory on the device" in (tmp_path / report["report"]).read_text(encoding="utf-8")
    code, out, _ = command("results", "query", f"ram_bytes <= {winner['ram_bytes']}", "--json")
    assert winner["trial"] in [trial["trial"] for trial in json.loads(out)]
    code, out, _ = command("results", "list", "--max-ram", "4kB", "--max-flash", "30kB")
    assert re.search(r"ram_bytes +flash_bytes", out)
    code, out, err = command("results", "best", "--max-ram", "10B")
    assert (code, "ram_bytes <= 10" in err) == (3, True)

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
    assert re.search(r"0 of 3 trials .*params <= 10.*trial \d", err)

    code, _, err = command("search", "tiny.toml")
    assert code == 2
    assert "'tiny' exists" in err
    assert "Traceback" not in err


def test_the_exit_code_and_the_reason_are_reported_if_all_trials_fail(line, ray_running, tmp_path):
    (tmp_path / "tiny.toml").write_text(SEARCH)
    code, _, err = line("search", "tiny.toml", "-s", "recipe.lr=1e30", "-s", "search.trials=2")
    assert code == 3
    assert re.search("2 of 2 trials failed.*Diverged", err)


@pytest.mark.parametrize(
    ("arguments", "code", "pattern"),
    [
        (["search", "none.toml"], 2, "no search file none.toml .*archsieve init"),
        (["search", "tiny.toml", "-s", "budget.params=100"], 2, r"params <= 100.* cheapest"),
        (["search", "tiny.toml", "-s", "search.trails=3"], 2, "search.trails.*'trials'"),
        (["search", "tiny.toml", "--name", "../x"], 6, "'../x'"),
        (["search", "tiny.toml", "--name", ".hidden"], 2, "run name .*'.hidden'"),
        (["search", "tiny.toml", "-s", "resources.gpus_per_trial=64"], 4, "64 GPUs"),
        (["space", "mixd"], 2, "unknown space 'mixd'.*'mixed'"),
        (["space", "mixed", "--max-params", "5MM"], 2, "--max-params .*'5MM'"),
        (["space", "mixed", "--max-params", "100"], 2, "cheapest architecture .*params"),
        (["profile", "resnet5"], 2, "unknown network 'resnet5'.*'resnet50'"),
        (["profile", "resnet50", "--input", "224"], 2, "--input .*channels x height x width.*'224'"),
        (["profile", "none.json"], 2, "no architecture file none.json"),
        (["results", "best"], 5, "archsieve.db"),
        (["init", "digit"], 2, "'digit'.*'digits'"),
        (["frob"], 2, "'frob'"),
    ],
)
def test_a_mistake_is_one_message_an_exit_code_and_nothing_written(
    line, ray_running, tmp_path, arguments, code, pattern
):
    (tmp_path / "tiny.toml").write_text(SEARCH)
    exit_code, out, err = line(*arguments)
    assert exit_code == code, err
    assert re.search(pattern, err), err
    assert "Traceback" not in err
    assert out == ""
    if code == 2:
        assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.toml"]


def test_init_writes_a_file_once(command, tmp_path):
    code, out, _ = command("init")
    assert code == 0
    assert "archsieve search digits.toml" in out
    before = (tmp_path / "digits.toml").read_text()
    code, _, err = command("init")
    assert code == 2
    assert "digits.toml" in err
    assert "-o" in err
    assert (tmp_path / "digits.toml").read_text() == before


def test_profile_prints_the_published_counts(line):
    _, out, _ = line("profile", "alexnet-2012", "--json")
    report = json.loads(out)
    assert (report["params"], report["macs"], report["flops"]) == (60_965_224, 724_406_816, 1_448_813_632)
    weighted = {layer["name"]: layer for layer in report["layers"] if layer["params"]}
    assert weighted["fc6"]["params"] == 37_752_832
    assert weighted["conv2"]["macs"] == 223_948_800
    convolutions = [layer for name, layer in weighted.items() if name.startswith("conv")]
    biases = sum(layer["out_shape"][0] for layer in convolutions)
    assert report["convolution_weights"] == sum(layer["params"] for layer in convolutions) - biases
    assert report["locally_connected_weights"] == sum(layer["macs"] for layer in convolutions)
    _, out, _ = line("profile", "alexnet-2012", "--remove", "7")
    assert "weight sharing: the convolutions have 2,332,704 weights" in out
    assert f"{60_965_224 - 16_781_312:,}" in out


def test_profile_reads_a_stored_architecture(line, tmp_path):
    from archsieve.spaces.architectures.catalogue import named

    (tmp_path / "net.json").write_text(json.dumps(named("resnet20-cifar").to_json()))
    code, out, _ = line("profile", "net.json", "--precision", "int8", "--json")
    report = json.loads(out)
    assert (code, report["params"]) == (0, 269_722)
    # the input of a block stays while its second convolution reads one tensor of 16 channels and writes another
    assert report["ram_bytes"] == 3 * 16 * 32 * 32
    peak = next(layer for layer in report["layers"] if layer["name"] == report["ram_peak"])
    assert peak["ram_bytes"] == report["ram_bytes"] == max(layer["ram_bytes"] for layer in report["layers"])


def test_space_counts_and_samples_inside_the_budget(line):
    code, out, _ = line(
        "space", "mixed", "--max-params", "60k", "--max-macs", "6M", "--sample", "5", "--count", "--json"
    )
    report = json.loads(out)
    assert code == 0
    assert 0 < report["feasible"] < report["size"]
    assert all(s["params"] <= 60_000 and s["macs"] <= 6_000_000 for s in report["sample"])
    sizes = [
        json.loads(line("space", "resnet20-cifar", *options, "--json")[1])["size"]
        for options in ((), ("--image-size", "16"), ("--image-size", "16", "--image-size", "32"))
    ]
    assert sizes == [1, 1, 2]


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["profile", "resnet50"], ["space", "mixed"], ["results", "list"], ["init", "-o", "x.toml"]],
)
def test_commands_without_training_do_not_import_torch_or_ray(tmp_path, arguments):
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


def test_version_is_printed(command):
    code, out, _ = command("--version")
    assert (code, out.split()[0]) == (0, "archsieve")


def test_removed_layers_are_reported_with_what_they_saved(line):
    _, out, _ = line("profile", "alexnet-2012", "--remove", "3,4,6,7", "--json")
    report = json.loads(out)
    assert report["removed"] == [3, 4, 6, 7]
    assert (report["saved"]["params"], round(report["saved"]["macs_share"], 3)) == (51_110_656, 0.464)
    assert report["saved"]["macs"] == 724_406_816 - report["macs"]
    assert report["saved"]["params_share"] == 51_110_656 / 60_965_224
    _, out, _ = line("profile", "alexnet-2012", "--remove", "3,4,6,7")
    assert "saved params 51,110,656 of 60,965,224 (83.8%)" in out
    assert "(46.4%)" in out


def test_layers_of_a_stored_architecture_can_be_removed(line, tmp_path):
    from archsieve.spaces.architectures.catalogue import named

    (tmp_path / "net.json").write_text(json.dumps(named("alexnet").to_json()))
    _, out, _ = line("profile", "net.json", "--remove", "7", "--json")
    assert json.loads(out)["saved"]["params"] == 16_781_312


@pytest.mark.parametrize(
    ("cross_check", "extra_operators"), [("torch", set()), ("fvcore", {"batch_norm", "adaptive_avg_pool2d"})]
)
def test_the_built_network_is_counted_by_another_library(line, cross_check, extra_operators):
    code, out, err = line("profile", "resnet20-cifar", "--cross-check", cross_check, "--json")
    assert code == 0, err
    report = json.loads(out)
    rows = report["cross_check"]["differences"]
    assert report["cross_check"]["params"] == report["params"]
    assert report["cross_check"]["total_macs"] - report["macs"] == sum(row["theirs"] - row["ours"] for row in rows)
    assert {row["operator"] for row in rows} <= extra_operators
    _, out, _ = line("profile", "resnet20-cifar", "--cross-check", cross_check)
    assert f"counted by {cross_check} " in out


def test_the_old_name_of_the_option_works_with_a_notice(line):
    new, old = (
        line("profile", "resnet20-cifar", option, "torch", "--json") for option in ("--cross-check", "--witness")
    )
    assert old[:2] == new[:2]
    assert old[2] == f"--witness is now called --cross-check\n{new[2]}"
    assert "--witness" not in line("profile", "--help")[1]


def test_a_network_of_timm_is_profiled_and_measured(line):
    code, out, err = line(
        "profile", "timm:resnet18", "--input", "3x64x64", "--cross-check", "fvcore", "--device", "cpu", "--json"
    )
    assert code == 0, err
    report = json.loads(out)
    assert (report["params"], report["attention_macs"]) == (11_689_512, 0)
    assert report["macs"] == sum(layer["macs"] for layer in report["layers"]) == report["total_macs"]
    assert {row["operator"] for row in report["cross_check"]["differences"]} == {"batch_norm", "adaptive_avg_pool2d"}
    assert 0 < report["measured"]["latency_ms_p50"] <= report["measured"]["latency_ms_p90"]


def test_a_network_of_torchvision_is_profiled(line):
    code, out, err = line("profile", "torchvision:vgg16")
    assert code == 0, err
    assert "macs 15,470,264,320" in out
    assert "params 138,357,544" in out


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (["timm:resnet81"], "unknown timm network 'resnet81'"),
        (["torchvision:vgg16", "--remove", "3"], "--remove .*torchvision:vgg16"),
        (["resnet18", "--cross-check", "fvcor"], "'fvcor'.*'fvcore'"),
        (["timm:resnet18", "--input", "5x8x8x8"], "--input .*channels x height x width.*'5x8x8x8'"),
    ],
)
def test_an_invalid_profile_is_one_error_with_the_reason(line, arguments, pattern):
    code, out, err = line("profile", *arguments)
    assert (code, out) == (2, "")
    assert re.search(pattern, err), err
    assert "Traceback" not in err
