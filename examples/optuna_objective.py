"""A plain Optuna study over a space of archsieve: the study keeps the loop, the space and the budget are ours.

    python examples/optuna_objective.py [trials]

Each parameter of a trial is a place in the space. A network outside the budget is pruned before it is trained. In the
end the study is brought into a results database, to be asked like any other run.
"""

import sys

import optuna

from archsieve.models.data.registry import load_data
from archsieve.models.networks.build import build
from archsieve.models.training.trainer import Fit
from archsieve.results.database.store import open_store
from archsieve.results.query.best import best
from archsieve.results.transfer.importer import bring_in
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
SIEVE = ConstrainedSpace(SPACE, Budget(params=60_000, macs=2_000_000))
DATA = load_data("digits")


def suggest(trial: optuna.Trial) -> Architecture:
    """The network that ``trial`` stands for: one categorical parameter for each choice that it meets."""
    decisions: dict[str, int] = {}

    def pick(path: str, options: tuple[object, ...]) -> int:
        decisions[path] = trial.suggest_categorical(path, range(len(options)))
        return decisions[path]

    SPACE.fill(pick)
    return SPACE.architecture(decisions)


def objective(trial: optuna.Trial) -> float:
    """Validation accuracy of one network after three epochs."""
    architecture = suggest(trial)
    trial.set_user_attr("architecture", architecture.to_json())
    if not SIEVE.allows(architecture):
        raise optuna.TrialPruned
    recipe = Recipe(epochs=3, lr=trial.suggest_float("lr", 0.01, 0.5, log=True))
    run = Fit(build(architecture, seed=0), DATA, recipe, seed=0)
    while not run.done:
        epoch = run.step()
        trial.report(epoch.val_accuracy, epoch.epoch)
    return max(epoch.val_accuracy for epoch in run.history)


def main(trials: int = 12) -> None:
    """Run the study, and ask the database what it found."""
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=trials)
    with open_store("runs/archsieve.db", create=True) as store:
        (run,) = bring_in(store, [document_of_study(study, dataset="digits", name="from-optuna")])
        for trial in best(store, budget=SIEVE.budget, run=run, top=3):
            print(
                f"{trial.val_accuracy:.4f}  {trial.params:,} params  {trial.macs:,} MACs  lr {trial.recipe['lr']:.3g}"
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
