"""A server of the Model Context Protocol (MCP): programs with a language model ask the results database.

Its tools only read, unless the server is started with ``allow_search``. No tool shows a metric of test images, so that
no program can select a network by it. Protocol: https://modelcontextprotocol.io.
"""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import __version__
from ...results.analysis.differences import compare_pair
from ...results.database.run_name import check_run_name
from ...results.database.store import open_store
from ...results.database.url import DatabaseLocation, runs_folder
from ...results.query.best import best, no_match_reason
from ...results.query.budget_filter import budget_from_config
from ...results.query.datasets import check_one_dataset
from ...results.query.expression_query import filter_trials
from ...results.query.pareto_sql import front
from ...results.query.trial_name import find_trial
from ...spaces.architectures.budget import Budget
from ...spaces.architectures.cost import cost
from ...spaces.architectures.recorded import describe_recorded
from ...spaces.constrained.constrained_space import ConstrainedSpace
from ...spaces.constrained.sampling import count, sample
from ...spaces.search_space.named import named_space

if TYPE_CHECKING:
    from mcp.server import MCPServer

    from ...results.database.records import RunRecord, Trial

MAX_ROWS = 50  # trials or networks of one answer: a model reads all of it
_COSTS = ("params", "macs", "activations", "memory_bytes", "latency_ms")
INSTRUCTIONS = """\
archsieve searches convolutional networks under a budget and records every trial in a database. Begin with status. \
A limit of a budget is a number or a text such as "60k" or "300M". Metrics are of validation images."""


def mcp_server(database: DatabaseLocation, *, allow_search: bool = False) -> "MCPServer":
    """Return a server with the tools status, best, query, pareto, compare and propose.

    With ``allow_search`` it has the tool start_search, too: it starts ``archsieve search FILE``, which trains networks
    and executes the code that the search file names.

    Raises ``ValueError`` if the package ``mcp`` is missing.
    """
    try:
        from mcp.server import MCPServer
        from mcp.types import ToolAnnotations
    except ImportError:
        raise ValueError("a server for MCP needs the package mcp; run: pip install 'archsieve[mcp]'") from None
    server = MCPServer("archsieve", version=__version__, instructions=INSTRUCTIONS, log_level="WARNING")
    tools = Tools(database)
    reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    for tool in (tools.status, tools.best, tools.query, tools.pareto, tools.compare, tools.propose):
        server.tool(annotations=reads)(_with_message(tool))
    if allow_search:
        trains = ToolAnnotations(read_only_hint=False, destructive_hint=False)
        server.tool(annotations=trains)(_with_message(tools.start_search))
    return server


def _with_message(tool: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``tool``, whose expected errors reach the client with their message: the library hides all others."""
    from mcp.server.mcpserver.exceptions import ToolError

    @wraps(tool)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return tool(*args, **kwargs)
        except (ValueError, TypeError, OSError) as error:
            raise ToolError(str(error)) from error

    return call


class Tools:
    """The tools; each opens the database again, so that it sees what a running search has written."""

    def __init__(self, database: DatabaseLocation) -> None:
        self.database = database

    def status(self, run: str | None = None) -> list[dict[str, Any]]:
        """Return the state, the number of trials and the best trial of a run, or of all runs."""
        with open_store(self.database, read_only=True) as store:
            runs = [store.run(run)] if run is not None else store.runs()
            bests = [best(store, budget=budget_from_config(one.config), run=one.name) for one in runs]
        return [_run(one, next(iter(found), None)) for one, found in zip(runs, bests, strict=True)]

    def best(
        self,
        limits: dict[str, int | float | str] | None = None,
        run: str | None = None,
        data: str | None = None,
        top: int = 1,
        metric: str | None = None,
    ) -> dict[str, Any]:
        """Return the best trials inside limits such as {"params": "60k", "macs": "3M"}.

        Trials of different data sets are not compared: name a run or a data set if there are several.
        """
        budget = Budget.of(limits or {})
        with open_store(self.database, read_only=True) as store:
            if run is None and data is None:
                check_one_dataset(store)
            trials = best(store, budget=budget, run=run, dataset=data, top=min(top, MAX_ROWS), metric=metric)
            return _answer(trials, "" if trials else no_match_reason(store, budget, run, data))

    def query(self, condition: str, run: str | None = None, sort: str = "", top: int = 20) -> dict[str, Any]:
        """Return the trials for which a condition holds, such as "val_accuracy > 0.9 and recipe.lr < 0.1".

        Columns: params, macs, depth, latency_ms, val_accuracy, val_loss, state, run, dataset, recipe.KEY and others.
        "sort" is a column; a leading - puts the largest first.
        """
        with open_store(self.database, read_only=True) as store:
            answer = filter_trials(store, condition, run=run, sort=sort, top=min(top, MAX_ROWS))
        return {**_answer(answer.trials, answer.no_match_reason), "matching": answer.matching}

    def pareto(
        self, objectives: list[str] | None = None, run: str | None = None, data: str | None = None
    ) -> dict[str, Any]:
        """Return the trials that no other one beats in all objectives, by default the metric of the runs and macs."""
        with open_store(self.database, read_only=True) as store:
            if run is None and data is None:
                check_one_dataset(store)
            trials = front(store, objectives, run=run, dataset=data)
        return {**_answer(trials[:MAX_ROWS]), "matching": len(trials)}

    def compare(self, first: str, second: str, metric: str | None = None) -> dict[str, Any]:
        """Return two trials, each an id or RUN:NUMBER, and whether they differ by more than noise, by a paired test."""
        with open_store(self.database, read_only=True) as store:
            one, other = find_trial(store, first), find_trial(store, second)
            difference = compare_pair(store, one, other, metric)
        return {"trials": [_trial(one), _trial(other)], "difference": difference.to_json()}

    def propose(self, space: str, limits: dict[str, int | float | str], n: int = 1, seed: int = 0) -> dict[str, Any]:
        """Return n networks of a named space such as "mixed", drawn uniformly from those inside the limits.

        Also returns how many networks fit. The costs are exact, and no network is outside.
        """
        constrained = ConstrainedSpace(named_space(space), Budget.of(limits))
        found = count(constrained)
        drawn = sample(constrained, min(n, MAX_ROWS), random.Random(seed))
        networks = [
            {"architecture": str(one), **{name: getattr(cost(one), name) for name in _COSTS[:4]}, "json": one.to_json()}
            for one in drawn
        ]
        return {"fitting": found.value, "exact": found.exact, "networks": networks}

    def start_search(self, file: str, name: str, trials: int | None = None) -> dict[str, Any]:
        """Start "archsieve search FILE" in the background; ask with status. Its messages go to a file."""
        check_run_name(name)
        path = Path(file)
        if not path.is_file():
            raise ValueError(
                f"file must be a search file, but there is no file {file!r}; give the path of a .toml file"
            )
        runs = runs_folder(self.database)
        runs.mkdir(parents=True, exist_ok=True)
        log = runs / f"{name}.log"
        command = [sys.executable, "-m", "archsieve", "search", str(path), "--name", name, "--runs", str(runs)]
        command += [] if trials is None else ["--trials", str(trials)]
        # in the environment, because every user of the machine can read the arguments, and a URL may have a password
        location = self.database if isinstance(self.database, Path) else self.database.render_as_string(False)
        environment = {**os.environ, "ARCHSIEVE_DB": str(location)}
        with log.open("ab") as stream:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
            )
        return {"run": name, "process": process.pid, "log": str(log)}


def _run(record: "RunRecord", top: "Trial | None") -> dict[str, Any]:
    return {
        "run": record.name,
        "status": record.status.value,
        "trials": record.trials,
        "of": record.config.get("search", {}).get("trials", record.trials),
        "counts": {state.value: number for state, number in record.counts.items()},
        "budget": str(budget_from_config(record.config)),
        "best": None if top is None else _trial(top),
    }


def _answer(trials: Sequence["Trial"], reason: str = "") -> dict[str, Any]:
    return {"trials": [_trial(trial) for trial in trials], **({"reason": reason} if reason else {})}


def _trial(trial: "Trial") -> dict[str, Any]:
    """Return what a model needs to know of a trial, without metrics of test images."""
    costs: Mapping[str, Any] = {name: getattr(trial, name) for name in _COSTS}
    return {
        "trial": trial.trial,
        "name": f"{trial.run}:{trial.number}",
        "state": trial.state.value,
        "metric": trial.metric,
        "value": trial.metric_value,
        "val_accuracy": trial.val_accuracy,
        **{name: value for name, value in costs.items() if value is not None},
        "architecture": describe_recorded(trial.architecture),
        "recipe": dict(trial.recipe),
    }
