"""The server for language models: a client of the protocol asks a server process, as such a program does."""

import json
import os
import sys
import time

import anyio
import pytest

from archsieve.results.database.records import FailKind, TrialState
from archsieve.results.database.store import open_store

mcp = pytest.importorskip("mcp")

SPACE = {"params": "60k", "macs": "3M"}
SEARCH = """
[data]
limit = 200
[budget]
params = "20k"
macs = "1M"
[recipe]
epochs = 1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a database of three trials: two completed ones and one that failed."""
    folder = tmp_path_factory.mktemp("mcp")
    (folder / "search.toml").write_text(SEARCH)
    with open_store(folder / "archsieve.db", create=True) as store:
        dataset = {"content_hash": "d", "name": "digits"}
        run_id = store.create_run("digits", {"search": {"trials": 4}}, "random", 1, dataset, {})
        for number in range(3):
            cost = dict.fromkeys(("params", "macs", "activations", "memory_bytes"), 10 * (number + 1))
            trial = store.propose(
                run_id, architecture={}, fingerprint=f"f{number}", cost=cost, choices={}, recipe={"lr": 0.1}, seed=1
            ).trial
            store.start(trial)
            if number == 2:
                store.finish(trial, TrialState.FAILED, fail_kind=FailKind.OOM)
            else:
                metrics = {"val_accuracy": 0.5 + 0.1 * number, "test_accuracy": 0.123}
                store.finish(trial, TrialState.COMPLETED, summary=metrics)
    return folder


def ask(folder, *calls, options=()):
    """Start ``archsieve mcp``, make the calls, and return the names of its tools and each answer (error, content)."""
    command = ["-m", "archsieve", "mcp", "--db", str(folder / "archsieve.db"), *options]
    server = mcp.StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ), cwd=folder)

    async def talk():
        async with mcp.Client(mcp.stdio_client(server)) as client:
            tools = (await client.list_tools()).tools
            answers = [await client.call_tool(name, arguments) for name, arguments in calls]
        return tools, [(answer.is_error, answer.content[0].text if answer.content else "[]") for answer in answers]

    return anyio.run(talk)


def test_the_tools_answer_from_the_database_and_only_read(folder):
    before = (folder / "archsieve.db").read_bytes()
    tools, answers = ask(
        folder,
        ("status", {}),
        ("best", {"limits": {"params": "15"}}),
        ("best", {"limits": {"params": 5}}),
        ("query", {"condition": "val_accuracy > 0.55"}),
        ("pareto", {}),
        ("compare", {"first": "digits:0", "second": "digits:1"}),
        ("propose", {"space": "mixed", "limits": SPACE, "n": 3}),
        ("query", {"condition": "test_accuracy > 0.1"}),
        ("best", {"limits": {"param": 5}}),
        ("propose", {"space": "mixed", "limits": {"params": 1}}),
        ("propose", {"space": "search.toml", "limits": SPACE}),  # reading a search file could execute code
        ("query", {"condition": "params <"}),
        ("compare", {"first": "nothing:0", "second": "digits:1"}),
    )
    assert [tool.name for tool in tools] == ["status", "best", "query", "pareto", "compare", "propose"]
    assert all(tool.annotations.read_only_hint and tool.description for tool in tools)
    assert [error for error, _ in answers] == [False] * 7 + [True] * 6
    status, best, none, query, pareto, compare, propose = (json.loads(text) for _, text in answers[:7])
    assert (status["run"], status["counts"], status["of"]) == ("digits", {"completed": 2, "failed": 1}, 4)
    assert status["best"]["name"] == "digits:1"
    assert [trial["name"] for trial in best["trials"]] == ["digits:0"]
    assert (none["trials"], none["reason"]) == ([], "0 of 3 trials have params <= 5; the smallest has 10 (trial 1)")
    assert ([trial["name"] for trial in query["trials"]], query["matching"]) == (["digits:1"], 1)
    assert [trial["name"] for trial in pareto["trials"]] == ["digits:1", "digits:0"]
    assert [trial["trial"] for trial in compare["trials"]] == [1, 2]
    assert propose["exact"]
    assert len(propose["networks"]) == 3
    assert all(one["params"] <= 60_000 and one["macs"] <= 3_000_000 for one in propose["networks"])
    assert "0.123" not in str(answers)  # no metric of test images
    errors = [text for error, text in answers if error]
    expected = ["test", "param", "params <= 1", "search.toml", "params <", "nothing"]
    assert all(part in text for part, text in zip(expected, errors, strict=True)), errors
    assert (folder / "archsieve.db").read_bytes() == before


@pytest.mark.slow  # a search
def test_a_search_is_started_only_where_it_is_allowed(folder):
    call = ("start_search", {"file": "search.toml", "name": "asked", "trials": 1})
    _, [(error, text)] = ask(folder, call)
    assert error
    assert "start_search" in text
    tools, answers = ask(folder, ("start_search", {"file": "none.toml", "name": "x"}), call, options=["--allow-search"])
    assert [tool.annotations.read_only_hint for tool in tools] == [True] * 6 + [False]
    assert answers[0][0]
    assert not answers[1][0], answers[1][1]
    with open_store(folder / "archsieve.db", read_only=True) as store:
        while "asked" not in {run.name for run in store.runs()} or store.run("asked").status.value == "running":
            time.sleep(0.2)
        assert store.run("asked").counts == {TrialState.COMPLETED: 1}
