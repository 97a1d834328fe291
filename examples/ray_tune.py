"""A plain Ray Tune run over networks of archsieve: Tune runs the trials, archsieve defines space and budget.

    python examples/ray_tune.py [trials]

The networks are drawn uniformly from the architectures inside the budget and passed to Tune as a grid, so Tune trains
each once and no other. At the end the results are imported into a results database, where they can be queried like any
other run.
"""

import random
import sys
import tempfile
from typing import Any

import ray
from ray import tune

from archsieve.results.database.store import open_store
from archsieve.results.query.best import best
from archsieve.results.transfer.importer import import_documents
from archsieve.search.integrations.ray_tune_results import document_of_results
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.blocks.standard import ConvPool, GlobalAverage, Residual
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.constrained.sampling import sample
from archsieve.spaces.parameters.domains import choice, repeat
from archsieve.spaces.search_space.space import Space

SPACE = Space(
    (1, 8, 8),
    (ConvPool(choice(8, 16, 32)), repeat(Residual(choice(16, 32, 64)), times=choice(1, 2)), GlobalAverage()),
    10,
)
BUDGET = Budget(params=60_000, macs=2_000_000)


def train(config: dict[str, Any]) -> None:
    """Train one network for three epochs, and report validation accuracy and loss after each epoch."""
    # imported here, because the function runs in another process
    from archsieve.models.data.registry import load_data
    from archsieve.models.networks.build import build
    from archsieve.models.training.trainer import Fit
    from archsieve.spaces.architectures.architecture import Architecture
    from archsieve.spaces.recipes.recipe import Recipe

    network = build(Architecture.from_json(config["architecture"]), seed=0)
    run = Fit(network, load_data("digits"), Recipe(epochs=3, lr=config["lr"]), seed=0)
    while not run.done:
        epoch = run.step()
        tune.report({"val_accuracy": epoch.val_accuracy, "val_loss": epoch.val_loss})


def main(trials: int = 6) -> None:
    """Run Tune, import its results into the database, and print the best trials inside the budget."""
    networks = sample(ConstrainedSpace(SPACE, BUDGET), trials, random.Random(0))
    if not ray.is_initialized():
        ray.init("local", include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            train,
            param_space={
                "architecture": tune.grid_search([network.to_json() for network in networks]),
                "lr": tune.loguniform(0.01, 0.5),
            },
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        results = tuner.fit()
    figures = {"val_accuracy": "val_accuracy", "val_loss": "val_loss"}
    with open_store("runs/archsieve.db", create=True) as store:
        (run,) = import_documents(
            store, [document_of_results(results, dataset="digits", name="from-tune", figures=figures)]
        )
        for trial in best(store, budget=BUDGET, run=run, top=3):
            print(
                f"{trial.val_accuracy:.4f}  {trial.params:,} params  {trial.macs:,} MACs  lr {trial.recipe['lr']:.3g}"
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
