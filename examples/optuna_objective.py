"""A plain Optuna study over a search space of archsieve: Optuna runs the trials, archsieve defines space and budget.

    python examples/optuna_objective.py [trials]

Each choice in the space is one categorical parameter of the trial. A network outside the budget is pruned before
training. At the end the study is imported into a results database, where it can be queried like any other run.
"""

import sys

import optuna

from archsieve.models.data.registry import load_data
from archsieve.models.networks.build import build
from archsieve.models.training.trainer import Fit
from archsieve.results.database.store import open_store
from archsieve.results.query.best import best
from archsieve.results.transfer.importer import import_documents
from archsieve.search.integrations.optuna_study import document_of_study
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.budget import Budget
from archsieve.spaces.blocks.standard import ConvPool, GlobalAverage, Residual
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
from archsieve.spaces.parameters.domains import choice, repeat
from archsieve.spaces.recipes.recipe import Recipe
from archsieve.spaces.search_space.space import Space

SPACE = Space(
    (1, 8, 8),
    (ConvPool(choice(8, 16, 32)), repeat(Residual(choice(16, 32, 64)), times=choice(1, 2)), GlobalAverage()),
    10,
)
CONSTRAINED = ConstrainedSpace(SPACE, Budget(params=60_000, macs=2_000_000))
DATA = load_data("digits")


def suggest(trial: optuna.Trial) -> Architecture:
    """Return the network of ``trial``, with one categorical parameter for each choice that the network has."""
    decisions: dict[str, int] = {}

    def pick(path: str, options: tuple[object, ...]) -> int:
        decisions[path] = trial.suggest_categorical(path, range(len(options)))
        return decisions[path]

    SPACE.fill(pick)
    return SPACE.architecture(decisions)


def objective(trial: optuna.Trial) -> float:
    """Return the best validation accuracy of one network in three epochs."""
    architecture = suggest(trial)
    trial.set_user_attr("architecture", architecture.to_json())
    if not CONSTRAINED.allows(architecture):  # the cost has a closed form, so nothing is built or trained
        raise optuna.TrialPruned
    recipe = Recipe(epochs=3, lr=trial.suggest_float("lr", 0.01, 0.5, log=True))
    run = Fit(build(architecture, seed=0), DATA, recipe, seed=0)
    while not run.done:
        epoch = run.step()
        trial.report(epoch.val_accuracy, epoch.epoch)
    return max(epoch.val_accuracy for epoch in run.history)


def main(trials: int = 12) -> None:
    """Run the study, import it into the database, and print the best trials inside the budget."""
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=trials)
    with open_store("runs/archsieve.db", create=True) as store:
        (run,) = import_documents(store, [document_of_study(study, dataset="digits", name="from-optuna")])
        for trial in best(store, budget=CONSTRAINED.budget, run=run, top=3):
            print(
                f"{trial.val_accuracy:.4f}  {trial.params:,} params  {trial.macs:,} MACs  lr {trial.recipe['lr']:.3g}"
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
