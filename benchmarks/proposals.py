"""Compare milliseconds per proposal after many trials with Optuna's TPE and Optuna's Gaussian process.

The space is `cifar-resnet-space` inside 1M parameters and 150M multiply-accumulates. Learning rate, weight decay and
label smoothing are searched too. This gives 13 parameters without conditions, the best case for Optuna's samplers. All
sides have the same past trials, which are drawn at random and scored by the same artificial function. Each side makes
one proposal after another, and each trial ends before the next proposal. A peer asks its study in memory for a trial
and its 13 values. Ours use the recorder as in a run: read the new history from the database and ask the searcher. This
time is compared. `written` also includes what no peer does: compute the cost and write the proposal to the database.

`first` is the first proposal after the past trials are read, as after a resume. `then` is the median of the later
proposals, `worst` the slowest of them. The time is processor time, so that other programs do not count. Each side runs
in its own process with one thread. The sides alternate, so that a drift of the machine's speed affects all.

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


def make_space() -> tuple[Any, Any]:
    """Return the constrained space and the recipe space."""
    from archsieve.spaces.architectures.budget import Budget
    from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
    from archsieve.spaces.parameters.domains import Range
    from archsieve.spaces.recipes.recipe import RecipeSpace
    from archsieve.spaces.search_space.named import named_space

    rates = {"lr": Range(0.05, 2.0, log=True), "weight_decay": Range(1e-4, 5e-3, log=True)}
    recipes = RecipeSpace.of(epochs=30, **rates, label_smoothing=[0.0, 0.1])
    return ConstrainedSpace(named_space("cifar-resnet-space"), Budget(params="1M", macs="150M")), recipes


def score(macs: int, lr: float) -> float:
    """Return an artificial accuracy that rises with multiply-accumulates and has one best learning rate."""
    return 0.9 - 0.05 * abs(math.log10(macs) - 8.2) - 0.1 * abs(math.log10(lr) + 0.5)


def past_proposals(past: int) -> list[Any]:
    """Return the past proposals, all different."""
    from archsieve.search.searchers.recipe_sampling import draw_recipe
    from archsieve.search.searchers.uninformed import RandomSearch
    from archsieve.spaces.constrained.sampling import sample_one

    constrained, recipes = make_space()
    rng, searcher = random.Random(0), RandomSearch(constrained, recipes)
    by_fingerprint: dict[str, Any] = {}
    while len(by_fingerprint) < past:
        proposal = searcher.propose(sample_one(constrained, rng), draw_recipe(recipes, rng))
        by_fingerprint.setdefault(proposal.architecture.fingerprint, proposal)
    return list(by_fingerprint.values())


Pair = tuple[float, float]  # seconds until the searcher answers, and until the proposal is in the database


def ours(side: str, past: int, asks: int) -> list[Pair]:
    """Return the times of each proposal through the recorder."""
    from archsieve.results.database.records import TrialState
    from archsieve.results.database.store import open_store
    from archsieve.search.runs.recorder import Recorder
    from archsieve.search.runs.run_control import RunControl
    from archsieve.search.searchers.registry import make_searcher
    from archsieve.search.trials.checkpoint_files import checkpoints_of
    from archsieve.search.trials.spool import Spool
    from archsieve.spaces.architectures.cost import cost

    constrained, recipes = make_space()
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder) / "archsieve.db", create=True) as store:
        run_id = store.create_run("proposals", {}, side, 0, {"content_hash": "none", "name": "none"}, {})

        def end(trial: Any) -> None:
            summary = {"epochs_done": 30, "best_epoch": 30, "val_accuracy": score(trial.macs, trial.recipe["lr"])}
            store.finish(trial.trial, TrialState.COMPLETED, summary=summary)

        for proposal in past_proposals(past):
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
        searcher = with_answer_time(make_searcher(side, constrained, recipes))
        recorder = Recorder(RunControl(store, run_id), searcher, 0, past + asks, *files)
        seconds = []
        for key in range(asks):
            started = time.process_time()
            trial = recorder.propose(str(key))
            seconds.append((searcher.answered - started, time.process_time() - started))
            end(trial)
        return seconds


def with_answer_time(searcher: Any) -> Any:
    """Return ``searcher`` with an attribute for the time of its last answer."""
    from archsieve.search.searchers.base import Searcher

    class TimedSearcher(Searcher):
        answered = 0.0

        def ask(self, history: Any, rng: random.Random) -> Any:
            proposal = searcher.ask(history, rng)
            self.answered = time.process_time()
            return proposal

    return TimedSearcher(searcher.constrained, searcher.recipes)


def peer(side: str, past: int, asks: int) -> list[Pair]:
    """Return the times of each ``study.ask`` with its values; the past trials are added to the study."""
    import optuna

    from archsieve.spaces.architectures.cost import cost
    from archsieve.spaces.blocks.base import ShapeError

    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = {"optuna tpe": optuna.samplers.TPESampler, "optuna gp": optuna.samplers.GPSampler}[side](seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    constrained, recipes = make_space()
    distributions = optuna_distributions(constrained, recipes)
    for proposal in past_proposals(past):
        values = {**proposal.choices, **{name: getattr(proposal.recipe, name) for name in recipes.free_parameters}}
        value = score(cost(proposal.architecture).macs, proposal.recipe.lr)
        study.add_trial(optuna.create_trial(value=value, params=values, distributions=distributions))

    def end(trial: Any) -> None:
        decisions = {path: trial.params[path] for path in constrained.graph.options}
        try:
            macs = cost(constrained.space.architecture(decisions)).macs
        except ShapeError:  # shortcut A does not support fewer channels
            macs = 1  # the lowest score
        study.tell(trial, score(macs, trial.params["lr"]))

    seconds = []
    for _ in range(asks):
        started = time.process_time()
        trial = study.ask(fixed_distributions=distributions)
        seconds.append((time.process_time() - started,) * 2)  # an in-memory study writes nothing
        end(trial)
    return seconds


def optuna_distributions(constrained: Any, recipes: Any) -> dict[str, Any]:
    """Return Optuna's distributions: ordered integers for rising numbers, categories for other options."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    from archsieve.spaces.parameters.domains import Range, is_ascending

    distributions: dict[str, Any] = {}
    for path, options in constrained.graph.options.items():
        count = len(options)
        ordered = is_ascending(options)  # numbers in ascending order
        distributions[path] = IntDistribution(0, count - 1) if ordered else CategoricalDistribution(range(count))
    for name, domain in recipes.free_parameters.items():
        ranged = isinstance(domain, Range)
        distributions[name] = (
            FloatDistribution(domain.low, domain.high, log=domain.log)
            if ranged
            else CategoricalDistribution(domain.options)
        )
    return distributions


def measure(side: str, past: int, asks: int) -> list[Pair]:
    """Return the milliseconds of each proposal of ``side``, measured in a new process."""
    command = [sys.executable, "-W", "ignore", __file__, "--side", side, "--past", str(past), "--asks", str(asks)]
    # more threads would make the processor time depend on the number of cores
    single_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **single_thread})
    if result.returncode:
        raise SystemExit(f"{side} failed:\n{result.stderr[-3000:]}")
    return [(1000 * answered, 1000 * written) for answered, written in json.loads(result.stdout.splitlines()[-1])]


def compare(sides: tuple[str, ...], peer_side: str, past: int, target: float, args: argparse.Namespace) -> None:
    """Measure and print the times of each side, and their ratio to those of the peer."""
    rounds = [{side: measure(side, past, args.asks) for side in (*sides, peer_side)} for _ in range(args.rounds)]
    print(f"\n{past:,} past trials: milliseconds per proposal, median (min to max) of {args.rounds} rounds of")
    print(f"n = {args.asks} proposals; `then` of ours should be at most {target} times that of {peer_side}")
    for side in (*sides, peer_side):
        # the first proposal includes reading the history, so it is not part of the median
        columns = {"first": [results[side][0][0] for results in rounds]}
        columns["then"] = [statistics.median(answered for answered, _ in results[side][1:]) for results in rounds]
        columns["worst"] = [max(answered for answered, _ in results[side][1:]) for results in rounds]
        if side in OURS:
            columns["written"] = [statistics.median(written for _, written in results[side][1:]) for results in rounds]
        peers = [statistics.median(answered for answered, _ in results[peer_side][1:]) for results in rounds]
        cells = "  ".join(f"{name} {spread(values)}" for name, values in columns.items())
        ratios = [our_ms / peer_ms for our_ms, peer_ms in zip(columns["then"], peers, strict=True)]
        print(f"  {side:10}  {cells}; ratio {spread(ratios, '.2f')}")


def spread(values: list[float], form: str = ".1f") -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--asks", type=int, default=40)
    parser.add_argument("--past", type=int, default=1000)
    parser.add_argument("--gp-past", type=int, default=200)
    parser.add_argument("--side", choices=[*OURS, *PEERS], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps((peer if args.side in PEERS else ours)(args.side, args.past, args.asks)))
        return
    print(f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}, one thread")
    print(", ".join(f"{name} {version(name)}" for name in ("optuna", "numpy", "scipy", "torch", "sqlalchemy")))
    compare(OURS, "optuna tpe", args.past, 1.0, args)
    compare(("gp",), "optuna gp", args.gp_past, 0.5, args)


if __name__ == "__main__":
    main()
