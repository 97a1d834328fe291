"""Custom parts: searched, resumed, retrained, exported, recorded, and compared on the nodes."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from archsieve.search.experiment.experiment import experiment
from archsieve.search.experiment.search_file import parse
from archsieve.search.plugins.sources import digest_of
from archsieve.spaces.parameters.user_code import PluginError

from .conftest import PARTS, SPACE, written

FILE = """
name = "own"
[data]
name = "own-bars"
[space]
written = { input_shape = [1, 8, 8], classes = 2, blocks = [
    { kind = "own-conv", width = { choice = [4, 8, 12, 16] } }, { kind = "own-gate" }, { kind = "global-average" } ] }
[recipe]
epochs = 1
batch_size = 32
[search]
searcher = "own-searcher"
metric = "own_misses"
record_metrics = ["f1"]
trials = 2
[plugins]
modules = ["own_parts"]
[resources]
max_concurrent = 1
"""


# what a process without the parts prints: a command, its exit code, and texts of its output; or a file that is changed
WITHOUT_CODE = (
    (("write", "project/own_helper.py", "VALUE = 2\n"), 0, ()),
    (("resume", "own", "--trials", "4"), 2, ("own_parts", "SHA-256")),
    (("write", "project/own_helper.py", "VALUE = 1\n"), 0, ()),
    (("write", "project/own_parts.py", PARTS.replace("1.2", "1.3")), 0, ()),
    (("resume", "own", "--trials", "4"), 2, ("own_parts", "1.2", "SHA-256")),
    (("unlink", "project/own_parts.py"), 0, ()),
    (("train", "own:0"), 2, ("own_parts",)),
    (("results", "list"), 0, ("own-conv",)),
    (("results", "show", "own:0"), 0, ("own-conv",)),
    (("results", "query", "params < 1M"), 0, ("own-conv",)),
    (("results", "best", "--run", "own"), 0, ("own-conv",)),
    (("results", "compare", "own:0", "own:1"), 0, ()),
    (("report", "own", "-o", "report.html"), 0, ()),
    (("results", "export", "runs.json"), 0, ()),
    (("results", "import", "runs.json", "--db", "copy.db"), 0, ("own",)),
    (("results", "best", "--db", "copy.db"), 0, ("own-conv",)),
)
COMMANDS = """
import contextlib, io, json, sys
from pathlib import Path
from archsieve.search.cli.main import main
answers = []
for arguments in json.loads(sys.argv[1]):
    sys.argv, out = ["archsieve", *arguments], io.StringIO()
    if arguments[0] in ("write", "unlink"):
        Path(arguments[1]).write_text(arguments[2]) if arguments[0] == "write" else Path(arguments[1]).unlink()
        answers.append([0, ""])
        continue
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            main()
        except SystemExit as end:
            answers.append([end.code, out.getvalue()])
print(json.dumps(answers))
"""


def in_a_new_process(folder: Path, commands) -> None:
    """Run commands of :data:`WITHOUT_CODE` in one process that has registered nothing, and compare their answers."""
    arguments = json.dumps([arguments for arguments, _, _ in commands])
    result = subprocess.run(
        [sys.executable, "-c", COMMANDS, arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    answers = json.loads(result.stdout.splitlines()[-1])
    assert len(answers) == len(commands)
    for (asked, code, texts), (got, out) in zip(commands, answers, strict=True):
        assert (got, [text for text in texts if text not in out]) == (code, []), (asked, out)


def test_custom_parts_are_searched_resumed_retrained_exported_and_shown_without_their_code(
    ray_running, import_path, line, tmp_path
):
    project = tmp_path / "project"
    project.mkdir()
    # the workers of this Ray have no import path to the project: both modules come with the trials
    written(project, "own_parts", f"import own_helper\nprint('imported')\n{PARTS}")
    written(project, "own_helper", "VALUE = 1\n")
    (project / "own.toml").write_text(FILE)
    code, out, err = line("search", "project/own.toml", "--json")
    assert code == 0, err
    found = json.loads(out)  # what the plug-in prints is on stderr
    assert (found["trials"], found["failed"]) == (2, 0)
    assert {"imported", "loaded", "asked"} <= set(err.splitlines())
    code, out, err = line("resume", "own", "--trials", "3", "--json")
    assert (code, json.loads(out or "{}").get("trials")) == (0, 3), err
    code, out, err = line("train", "own:0", "--epochs", "1", "--json")
    assert code == 0, err
    (network,) = json.loads(out)["networks"]
    assert network["own_misses"] == pytest.approx(1 - network["val_accuracy"])
    assert network["test_own_misses"] == pytest.approx(1 - network["test_accuracy"])
    code, _, err = line("export", "own:0", "-o", "net.pt2", "--format", "torch-export")
    assert (code, (tmp_path / "net.pt2").is_file()) == (0, True), err

    code, out, err = line("results", "best", "--run", "own", "--top", "3", "--json")
    ranked = [trial["metrics"]["own_misses"] for trial in json.loads(out)]
    assert (code, len(ranked), ranked) == (0, 3, sorted(ranked)), err
    assert {"own_misses", "f1"} <= set(json.loads(out)[0]["metrics"])
    code, out, err = line("results", "show", "own:0", "--json")
    shown = json.loads(out)
    assert shown["test_metrics"]["test_own_misses"] == pytest.approx(1 - shown["test_accuracy"])

    in_a_new_process(tmp_path, WITHOUT_CODE)
    assert "own-conv" in (tmp_path / "report.html").read_text()


SCRIPT = (
    PARTS
    + """
def own_hits(labels, scores):
    return (scores.argmax(1) == labels).mean()

if __name__ == "__main__":
    import ray
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)  # one Ray for all searches
    space = av.Space((1, 8, 8), [OwnConv(av.choice(4, 8, 12)), OwnGate(), av.GlobalAverage()], classes=2)
    result = av.run_search(
        data="own-bars", space=space, budget={"params": "2k"}, searcher="own-searcher", trials=2, seed=1,
        recipe={"epochs": 1, "batch_size": 32, "lr": av.Range(0.01, 0.1, log=True)}, name="script",
        settings={"search.proxies": ["synflow"]}, metric=own_hits, direction="maximize", record_metrics=["own_misses"],
    )
    assert all(trial.metrics["own_hits"] == trial.val_accuracy for trial in result.best)
    assert len(result.trials) == 2 and result.complete and result.report.is_file()
    assert all(trial.params <= 2000 for trial in result.trials)
    assert list(result.best.to_pandas()["val_accuracy"]) == [trial.val_accuracy for trial in result.best]
    more = av.resume_search("script", trials=3)
    assert len(more.trials) == 3 and more.trials[:2] == result.trials
    try:
        av.resume_search("script", trials=2)
    except ValueError as error:
        assert all(fact in str(error) for fact in ("more than 3", "got 2", "trials=27")), error
    else:
        raise AssertionError("fewer trials than have ended")
    model = av.train(more.best[0])
    selected = av.ensemble("script", top=2)
    assert len(selected.members) == 2 and 0 <= selected.test_accuracy <= 1
    assert [one.check for one in av.diagnose(more.best[0], ["gradients"])] == ["gradients"]
    batch = load_bars(av.Request()).train.images[:4]
    assert model.export("net.pt2").is_file()
    again = av.load_model(model.save("net.safetensors"))
    assert again.predict(batch) == model.predict(batch) and set(again.predict(batch)) <= {"lying", "standing"}
    from PIL import Image
    Image.fromarray(batch[0, 0].numpy()).save("one.png")
    assert again.predict(["one.png"]) == again.predict(batch[:1])
    with av.open_results() as results:
        assert results.best(params="2k")[0] == more.best[0]
        assert len(results.query("params < 1M and recipe.lr > 0.01", run="script")) == 3
        assert results.query("params < 1").no_match_reason.startswith("0 of 3")
        assert len(results.curves("script")) == 3 and len(results.layers()) > 3
        assert results.trial("script:0").number == 0 and results.runs[0].name == "script"
        assert set(results.pareto(["val_accuracy", "params"])) <= set(results.trials())
    try:
        av.run_search(data="own-bars", space=space, recipe={"epochs": 1, "lr": 1e30}, trials=1, name="bad")
    except RuntimeError as error:
        print("all failed:", error)
    print("done")
"""
)


@pytest.mark.slow
def test_parts_of_a_script_reach_the_workers_and_the_public_interface_does_all_jobs(tmp_path):
    script = written(tmp_path, "script", SCRIPT)
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    result = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment
    )
    assert result.stdout.splitlines()[-1:] == ["done"], result.stdout + result.stderr
    assert "all failed: " in result.stdout
    # another process names what is missing and who registered it; a module with the same parts replaces the script
    missing = ("block 'own-conv'", "block 'own-gate'", "data set 'own-bars'", "own-searcher", str(script), "--import")
    in_a_new_process(tmp_path, [(("resume", "script", "--trials", "4"), 2, missing)])
    hits = "def own_hits(labels, scores):\n    return (scores.argmax(1) == labels).mean()"
    written(tmp_path, "moved", f'{PARTS}\n@av.register_metric("own_hits")\n{hits}\n')
    in_a_new_process(tmp_path, [(("train", "script:0", "--import", "moved"), 0, ("val_accuracy",))])
    # a saved network needs its blocks alone
    needed = ("block 'own-conv'", "block 'own-gate'", "--import")
    in_a_new_process(tmp_path, [(("export", "script:0"), 2, needed)])


def test_an_experiment_records_where_its_parts_come_from(import_path, tmp_path, monkeypatch):
    """Of a script and of a module that no file names; not the parts that it does not use."""
    program = PARTS + (
        "\nimport json\nfrom archsieve.search.experiment.experiment import experiment\n"
        "from archsieve.search.experiment.search_file import parse\n"
        f"space = {{'written': {SPACE!r}}}\n"
        "for tables in ({'data': {'name': 'own-bars'}, 'space': space}, {}):\n"
        "    print(json.dumps(experiment(parse(tables)).to_json().get('plugins')))\n"
    )
    script = written(tmp_path, "script", program)
    both = f"{program}\nimport runpy\nrunpy.run_path({str(script)!r}, run_name='__main__')\n"
    result = subprocess.run([sys.executable, "-c", both], capture_output=True, text=True, check=True, cwd=tmp_path)
    typed, _, plugins, without = map(json.loads, result.stdout.splitlines())
    assert without is None
    recorded = plugins["registered"]["__main__"]
    assert recorded["file"] == str(script)
    assert recorded["sha256"] == digest_of({"script.py": program.encode()})
    assert recorded["parts"] == {"blocks": ["own-conv", "own-gate"], "datasets": ["own-bars"]}
    recorded = typed["registered"]["__main__"]
    assert (recorded["file"], recorded["sha256"]) == (None, None)

    # in another process: the script is named, and a module is found again by its file
    search = {"data": {"name": "own-bars"}, "space": {"written": SPACE}}
    with pytest.raises(PluginError, match=rf"block 'own-conv'.*own-bars.*{script}.*--import"):
        experiment(parse({**search, "plugins": plugins}))
    interactive = {"modules": [], "registered": {"__main__": recorded}}
    with pytest.raises(PluginError, match=r"own-conv.*interactive.*--import"):
        experiment(parse({**search, "plugins": interactive}))
    written(tmp_path, "own_parts", PARTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("own_parts")
    search["search"] = {"metric": "own_misses", "searcher": "own-searcher"}
    module = experiment(parse(search)).to_json()["plugins"]["registered"]
    assert list(module) == ["own_parts"]
    assert (module["own_parts"]["version"], module["own_parts"]["file"]) == ("1.2", str(tmp_path / "own_parts.py"))
    again = (
        "import json, sys\nfrom pathlib import Path\n"
        "from archsieve.search.experiment.experiment import experiment\n"
        "from archsieve.search.experiment.search_file import parse\n"
        "made = experiment(parse(json.loads(sys.argv[1])))\n"
        "print(made.space.blocks[0].kind)\n"
        "file = Path(sys.modules['own_parts'].__file__)\n"
        "file.write_text(file.read_text().replace('1.2', '1.3'))\n"
        "experiment(parse(json.loads(sys.argv[1])))\n"
    )
    tables = json.dumps({**search, "plugins": {"modules": [], "registered": module}})
    (tmp_path / "elsewhere").mkdir()
    command = [sys.executable, "-c", again, tables]
    result = subprocess.run(command, cwd=tmp_path / "elsewhere", capture_output=True, text=True, check=False)
    assert result.stdout.split() == ["own-conv"], result.stderr
    assert re.search(r"PluginError: .*own_parts must be .*1\.2", result.stderr), result.stderr
