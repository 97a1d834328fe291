"""The parts of the documentation, as the pages have them: searched, resumed, retrained, exported and queried."""

import json

import pytest

import archsieve as av

from ...docs.pages import ROOT, fenced, save

# page -> its search file, what a quick run of it changes, and the fields of the recorded search that name the part
PAGES = {
    "block.md": ("own_block", ["data.limit=300"], {"my_blocks"}),
    "data_set.md": ("bars", [], {"my_data"}),
    "metric.md": ("nines", ["data.limit=300", "budget.params=20k"], {"my_metric"}),
    "searcher.md": ("near_best", ["data.limit=300", "budget.params=20k"], {"my_searcher"}),
    "plugins.md": ("own", [], {"my_parts"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_documented_part_is_searched_resumed_retrained_and_exported(page, ray_running, import_path, line, tmp_path):
    run, settings, modules = PAGES[page]
    for block in fenced((ROOT / "docs" / "extend" / page).read_text(encoding="utf-8")):
        save(block)
    changes = [argument for setting in ("recipe.epochs=1", *settings) for argument in ("-s", setting)]
    code, out, err = line("search", f"{run}.toml", *changes, "--trials", "2", "--json")
    assert code == 0, err
    searched = json.loads(out)
    assert (searched["trials"], searched["failed"]) == (2, 0)
    code, out, err = line("resume", run, "--trials", "3", "--json")
    assert (code, json.loads(out or "{}").get("trials")) == (0, 3), err
    code, out, err = line("train", f"{run}:0", "--json")
    assert code == 0, err
    (network,) = json.loads(out)["networks"]
    with av.open_results() as results:
        trials, config = results.trials(run), results.runs[0].config
    assert network["val_accuracy"] == trials[0].val_accuracy  # the same code, data and seed give the same network
    assert set(config["plugins"]["recorded"]) == modules
    assert len({(trial.fingerprint, str(trial.recipe)) for trial in trials}) == 3
    code, _, err = line("export", f"{run}:0", "-o", "net.safetensors", "--format", "safetensors")
    assert code == 0, err
    images = av.load_data(config["data"]["name"], limit=50).test.images[:4]
    assert len(av.load_model("net.safetensors").predict(images)) == 4
