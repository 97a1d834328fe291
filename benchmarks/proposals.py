"""Milliseconds per proposal after many trials: ours beside Optuna's estimator and Optuna's Gaussian process.

The space is `cifar-resnet-space` inside 1M parameters and 150M multiply-accumulates, with learning rate, weight decay
and label smoothing searched too: 13 parameters without conditions, which suits Optuna's samplers best. Every side knows
the same past trials, drawn at random and scored by the same made-up function, and is asked for one proposal after
another; each ends before the next is asked for. A peer asks its study, in memory, for a trial and its 13 values. Ours
go through the recorder as in a run: what is new of the history is read from the database and the searcher is asked;
that is compared. `written` is the same with what no peer does: pricing the proposal and writing it to the database.

`first` is the first proposal after the past trials have been read, as when a run is resumed; `then` is the median of
those after it, `worst` the slowest of them. Processor time, not the clock's, so that other programs do not count. Each
side runs in a process of its own, with one thread, one after the other in turn, so that a drift meets all.

    python benchmarks/proposals.py [--rounds 3] [--asks 40] [--past 1000] [--gp-past 200]
"""

import argparse
import json
import math
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

OURS = ("tpe", "gp", "evolution", "nsga2", "random")
PEERS = ("optuna tpe", "optuna gp")


def searched() -> tuple[Any, Any]:
    """The sieve and the recipes."""
    from archsieve.spaces.architectures.budget import Budget
    from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
    from archsieve.spaces.parameters.domains import Range
    from archsieve.spaces.recipes.recipe import RecipeSpace
    from archsieve.spaces.search_space.named import named_space

    rates = {"lr": Range(0.05, 2.0, log=True), "weight_decay": Range(1e-4, 5e-3, log=True)}
    recipes = RecipeSpace.of(epochs=30, **rates, label_smoothing=[0.0, 0.1])
    return ConstrainedSpace(named_space("cifar-resnet-space"), Budget(params="1M", macs="150M")), recipes


def score(macs: int, lr: float) -> float:
    """A made-up accuracy: more multiply-accumulates are better, and so is one learning rate."""
    return 0.9 - 0.05 * abs(math.log10(macs) - 8.2) - 0.1 * abs(math.log10(lr) + 0.5)


def drawn(past: int) -> list[Any]:
    """The past proposals, all different."""
    from archsieve.search.searchers.recipe_sampling import draw_recipe
    from archsieve.search.searchers.uninformed import RandomSearch
    from archsieve.spaces.constrained.sampling import sample_one

    sieve, recipes = searched()
    rng, searcher = random.Random(0), RandomSearch(sieve, recipes)
    found: dict[str, Any] = {}
    while len(found) < past:
        proposal = searcher.propose(sample_one(sieve, rng), draw_recipe(recipes, rng))
        found.setdefault(proposal.architecture.fingerprint, proposal)
    return list(found.values())


Pair = tuple[float, float]  # seconds until the answer, and until it was written down


def ours(side: str, past: int, asks: int) -> list[Pair]:
    """Each proposal through the recorder."""
    from archsieve.results.database.records import TrialState
    from archsieve.results.database.store import open_store
    from archsieve.search.runs.recorder import Recorder
    from archsieve.search.runs.run_control import RunControl
    from archsieve.search.searchers.registry import make_searcher
    from archsieve.search.trials.checkpoint_files import checkpoints_of
    from archsieve.search.trials.spool import Spool
    from archsieve.spaces.architectures.cost import cost

    sieve, recipes = searched()
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder) / "archsieve.db", create=True) as store:
        run_id = store.create_run("proposals", {}, side, 0, {"content_hash": "none", "name": "none"}, {})

        def end(trial: Any) -> None:
            summary = {"epochs_done": 30, "best_epoch": 30, "val_accuracy": score(trial.macs, trial.recipe["lr"])}
            store.finish(trial.trial, TrialState.COMPLETED, summary=summary)

        for proposal in drawn(past):
            end(
                store.propose(
                    run_id,
                    architecture=proposal.architecture.to_json(),
                    fingerprint=proposal.architecture.fingerprint,
                    cost=cost(proposal.architecture).to_json(),
                    choices=proposal.choices,
                    recipe=proposal.recipe.to_json(),
                    seed=0,
                )
            )
        files = checkpoints_of(Path(folder), None), Spool(Path(folder) / "spool")
        searcher = clocked(make_searcher(side, sieve, recipes))
        recorder = Recorder(RunControl(store, run_id), searcher, 0, past + asks, *files)
        seconds = []
        for key in range(asks):
            started = time.process_time()
            trial = recorder.propose(str(key))
            seconds.append((searcher.answered - started, time.process_time() - started))
            end(trial)
        return seconds


def clocked(searcher: Any) -> Any:
    """``searcher``, with the time of its last answer."""
    from archsieve.search.searchers.base import Searcher

    class Clocked(Searcher):
        answered = 0.0

        def ask(self, history: Any, rng: random.Random) -> Any:
            proposal = searcher.ask(history, rng)
            self.answered = time.process_time()
            return proposal

    return Clocked(searcher.sieve, searcher.recipes)


def peer(side: str, past: int, asks: int) -> list[Pair]:
    """Each ask with its suggestions; the past trials as a study's own."""
    import optuna

    from archsieve.spaces.architectures.cost import cost
    from archsieve.spaces.blocks.base import ShapeError

    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = {"optuna tpe": optuna.samplers.TPESampler, "optuna gp": optuna.samplers.GPSampler}[side](seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    sieve, recipes = searched()
    spreads = parameters(sieve, recipes)
    for proposal in drawn(past):
        values = {**proposal.choices, **{name: getattr(proposal.recipe, name) for name in recipes.holes}}
        value = score(cost(proposal.architecture).macs, proposal.recipe.lr)
        study.add_trial(optuna.create_trial(value=value, params=values, distributions=spreads))

    def end(trial: Any) -> None:
        decisions = {path: trial.params[path] for path in sieve.graph.options}
        try:
            macs = cost(sieve.space.architecture(decisions)).macs
        except ShapeError:  # a shortcut A where channels become fewer
            macs = 1
        study.tell(trial, score(macs, trial.params["lr"]))

    seconds = []
    for _ in range(asks):
        started = time.process_time()
        trial = study.ask(fixed_distributions=spreads)
        seconds.append((time.process_time() - started,) * 2)
        end(trial)
    return seconds


def parameters(sieve: Any, recipes: Any) -> dict[str, Any]:
    """Every choice and every hole of the recipe as Optuna's: rising numbers in order, options without."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    from archsieve.spaces.parameters.domains import Range, rising

    found: dict[str, Any] = {}
    for path, options in sieve.graph.options.items():
        count = len(options)
        found[path] = IntDistribution(0, count - 1) if rising(options) else CategoricalDistribution(range(count))
    for name, hole in recipes.holes.items():
        ranged = isinstance(hole, Range)
        found[name] = (
            FloatDistribution(hole.low, hole.high, log=hole.log) if ranged else CategoricalDistribution(hole.options)
        )
    return found


def measure(side: str, past: int, asks: int) -> list[Pair]:
    """Milliseconds of each proposal of ``side``, in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--side", side, "--past", str(past), "--asks", str(asks)]
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **one})
    if result.returncode:
        raise SystemExit(f"{side} failed:\n{result.stderr[-3000:]}")
    return [(1000 * answered, 1000 * written) for answered, written in json.loads(result.stdout.splitlines()[-1])]


def compare(sides: tuple[str, ...], peer_side: str, past: int, aim: float, asked: argparse.Namespace) -> None:
    """Measure and print: each side's times, and how many times those of the peer ours take."""
    rounds = [{side: measure(side, past, asked.asks) for side in (*sides, peer_side)} for _ in range(asked.rounds)]
    print(f"\n{past:,} past trials: milliseconds per proposal, median (least to most) of {asked.rounds} rounds of")
    print(f"n = {asked.asks} proposals; `then` of ours is to be at most {aim} of that of {peer_side}")
    for side in (*sides, peer_side):
        columns = {"first": [found[side][0][0] for found in rounds]}
        columns["then"] = [statistics.median(answered for answered, _ in found[side][1:]) for found in rounds]
        columns["worst"] = [max(answered for answered, _ in found[side][1:]) for found in rounds]
        if side in OURS:
            columns["written"] = [statistics.median(written for _, written in found[side][1:]) for found in rounds]
        peers = [statistics.median(answered for answered, _ in found[peer_side][1:]) for found in rounds]
        shown = "  ".join(f"{name} {spread(values)}" for name, values in columns.items())
        ratios = [mine / other for mine, other in zip(columns["then"], peers, strict=True)]
        print(f"  {side:10}  {shown}; ratio {spread(ratios, '.2f')}")


def spread(values: list[float], form: str = ".1f") -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--asks", type=int, default=40)
    parser.add_argument("--past", type=int, default=1000)
    parser.add_argument("--gp-past", type=int, default=200)
    parser.add_argument("--side", choices=[*OURS, *PEERS], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        print(json.dumps((peer if asked.side in PEERS else ours)(asked.side, asked.past, asked.asks)))
        return
    print(f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}, one thread")
    print(", ".join(f"{name} {version(name)}" for name in ("optuna", "numpy", "scipy", "torch", "sqlalchemy")))
    compare(OURS, "optuna tpe", asked.past, 1.0, asked)
    compare(("gp",), "optuna gp", asked.gp_past, 0.5, asked)


if __name__ == "__main__":
    main()
