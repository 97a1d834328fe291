"""Output: no control characters of a foreign run, valid JSON for every value, and messages of bounded length."""

import ast
import json
import math
from pathlib import Path

import pytest

from archsieve.models.diagnostics.context import Finding
from archsieve.models.diagnostics.run_checks import CHECKS, diagnose
from archsieve.results.database.records import FailKind, TrialState
from archsieve.results.database.store import open_store
from archsieve.search.cli import output
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.cost import cost, layer_costs
from archsieve.spaces.blocks.standard import Conv, GlobalAverage

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202etxt.exe\x7f\ud800\u2028"
CONTROL = set(map(chr, range(32))) - {"\n", "\t"} | set(map(chr, range(0x7F, 0xA0))) | {"\u202e", "\u2028", "\ud800"}
QUERIES = [
    *(["status"], ["results", "list"], ["results", "best"], ["results", "show", "1"], ["results", "show", "2"]),
    *(["results", "compare", "1", "2"], ["results", "curve", "1", "2"], ["results", "pareto"]),
    *(["results", "query", "params > 0"], ["results", "sql", "SELECT * FROM trial JOIN event"], ["db", "info"]),
    *(["results", "sql", "SELECT 9e999 AS a, -9e999 AS b, x'00' AS c"], ["db", "check", "--deep"]),
]


@pytest.fixture
def hostile(tmp_path):
    """A database whose texts have control characters, and whose numbers are not finite where the schema allows it."""
    text = HOSTILE.replace("\ud800", "")
    path = tmp_path / "runs" / "archsieve.db"
    architecture = Architecture((1, 8, 8), (Conv(8), GlobalAverage()), 10)
    with open_store(path, create=True) as store:
        dataset = {"content_hash": "d", "name": text, "class_names": [text]}
        provenance = {"argv": [text], "host": text, "pid": 1, "versions": {text: text}}
        run = store.create_run("theirs", {"search": {"trials": 2}, "note": text}, text, 0, dataset, provenance)
        for n, state in enumerate((TrialState.COMPLETED, TrialState.FAILED)):
            trial = store.propose(
                run,
                architecture=architecture.to_json(),
                fingerprint=architecture.fingerprint,
                cost=cost(architecture).to_json(),
                layers=[layer.to_json() for layer in layer_costs(architecture)],
                choices={text: n},
                recipe={"lr": 0.1, "epochs": 2, "optimizer": text},
                seed=n,
            ).trial
            store.start(trial, device=text, node=text)
            store.record_epoch(trial, 1, {"val_accuracy": 0.5, "val_loss": math.nan, text: 1.0})
            store.record_epoch(trial, 2, {"val_accuracy": 0.6, "val_loss": -math.inf})
            failure = {"fail_kind": FailKind.BUG, "reason": text} if state is TrialState.FAILED else {}
            store.finish(trial, state, summary={"val_accuracy": 0.6, "best_epoch": 2}, **failure)
            store.add_event(run, "info", "finding", {"finding": text, "reason": text}, trial)
        with store.write_transaction() as connection:
            connection.exec_driver_sql("UPDATE trial SET val_loss = 9e999, latency_ms = -9e999")
        store.finish_run(run, "stopped")
    return path


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


@pytest.mark.parametrize("query", QUERIES, ids=" ".join)
def test_no_control_character_of_a_foreign_run_is_printed(hostile, line, query):
    for arguments in (query, [*query, "--json"]):
        code, out, err = line(*arguments, "--db", str(hostile))
        assert code in (0, 3, 5), err
        assert not CONTROL & set(out + err)
    assert "owned" in out + err or query[0] == "db" or "9e999" in query[-1] or query[0] == "status"


@pytest.mark.parametrize("query", QUERIES, ids=" ".join)
def test_json_has_null_and_a_reason_for_numbers_that_are_not_finite(hostile, line, query):
    code, out, err = line(*query, "--json", "--db", str(hostile))
    assert code in (0, 3, 5), err
    value = json.loads(out, parse_constant=refuse)
    if query == ["results", "show", "1"]:
        assert (value["val_loss"], value["val_loss_reason"]) == (None, "not finite: inf")
        assert (value["latency_ms"], value["latency_ms_reason"]) == (None, "not finite: -inf")
        assert value["curve"]["val_loss"] == [[1, None], [2, None]]
        assert value["curve_reason"] == {"val_loss": {"1": "nan", "2": "-inf"}}
    if "9e999" in query[-1]:
        assert value == [
            {"a": None, "a_reason": "not finite: inf", "b": None, "b_reason": "not finite: -inf", "c": "b'\\x00'"}
        ]


def test_every_command_prints_through_one_module():
    """A command that printed by itself would let control characters and NaN through."""
    for path in Path(output.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and path.name != "output.py":
                called = ast.unparse(node.func)
                allowed = called == "typer.echo" and "__version__" in ast.unparse(node)
                assert allowed or called not in ("typer.echo", "print", "json.dumps", "click.echo"), (path, node.lineno)


def test_json_keeps_text_and_finite_numbers(capsys):
    value = {"text": HOSTILE.replace("\ud800", ""), "list": [1.5, math.nan, [math.inf]], "n": {"a": 1, "b_reason": "x"}}
    output.show_json(value)
    read = json.loads(capsys.readouterr().out)
    assert read == {**value, "list": [1.5, None, [None]], "list_reason": "not finite: nan, inf"}


@pytest.mark.parametrize(
    "finding",
    [
        Finding("start", "good", "a mean of 0.1", "", {"mean": math.nan}),
        Finding("start", "good", "a mean of nan"),
        Finding("start", "good", "all is well", "", {"layers": [{"std": [1.0, math.inf]}]}),
    ],
)
def test_a_check_with_a_value_that_is_not_finite_is_not_good(finding, monkeypatch):
    monkeypatch.setitem(CHECKS, "start", lambda context: finding)
    (rated,) = diagnose(None, ["start"])
    assert (rated.rating, "not finite" in rated.evidence, bool(rated.advice)) == ("bad", True, True)
    good = Finding("start", "good", "information", "", {"mean": 1.0})
    monkeypatch.setitem(CHECKS, "start", lambda context: good)
    assert list(diagnose(None, ["start"])) == [good]


LONG = 100_000 * "x"


@pytest.mark.parametrize(
    "arguments",
    [
        ["-s", f"search.searcher={LONG}"],
        ["-s", f"recipe.lr={LONG}"],
        ["-s", f"space.name={LONG}"],
        ["-s", f"data.{LONG}=1"],
        ["-s", f"budget.params={9 * LONG.count('x')}{LONG.replace('x', '9')}"],
        ["-s", f'recipe.optimizer="{"word " * 20_000}"'],
    ],
    ids=["searcher", "lr", "space", "key", "digits", "words"],
)
def test_a_message_does_not_repeat_a_long_value(line, tmp_path, arguments):
    (tmp_path / "a.toml").write_text('[data]\nname = "digits"\n')
    code, _, err = line("search", "a.toml", "--dry-run", *arguments)
    assert (code, len(err) < 6000) == (2, True)
    assert err.startswith("archsieve: ")


@pytest.mark.parametrize("command", [["search", "a.toml", "--dry-run"], ["space", "a.toml"]])
def test_a_space_with_too_many_stages_is_one_error(line, tmp_path, command):
    stage = '[[space.stages]]\nblock = "residual"\nwidth = [8, 16]\nhalve = false\n'
    (tmp_path / "a.toml").write_text('[data]\nname = "digits"\n' + 3000 * stage)
    code, _, err = line(*command)
    assert (code, "at most 700 blocks" in err, "Traceback" in err) == (2, True, False)
