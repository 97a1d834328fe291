"""A Ray Tune run whose networks come from a space of archsieve under a budget.

    python examples/ray_tune.py [trials]

Tune runs the trials. `AskTellSearch` connects Tune to an optimizer with `ask()` and `tell()`, as `NevergradSearch` of
Ray does for Nevergrad. The four lines that end with `# archsieve` are all that differs from a run without archsieve.

The lines that end with `# database` are optional. They import the results into a results database, where they can be
queried like any other run.
"""

import sys
import tempfile
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.search import ConcurrencyLimiter, Searcher
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import archsieve as av  # archsieve

EPOCHS = 3


class AskTellSearch(Searcher):
    """Tune's searcher for an ``optimizer`` with ``ask()`` and ``tell(trial, value)``."""

    def __init__(self, optimizer: Any, metric: str, mode: str = "max") -> None:
        super().__init__(metric=metric, mode=mode)
        self.optimizer = optimizer
        self.trials: dict[str, Any] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """Return the configuration of the next trial."""
        trial = self.trials[trial_id] = self.optimizer.ask()
        if trial is None:  # everything inside the budget was tried
            return Searcher.FINISHED
        return {"architecture": trial.architecture.to_json(), "lr": trial.recipe.lr}  # archsieve

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Report the last value of a trial; None means that it failed."""
        self.optimizer.tell(self.trials.pop(trial_id), None if error or not result else result[self.metric])

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: this searcher cannot be restored."""


def train(config: dict[str, Any]) -> None:
    """Train one network and report its validation accuracy after each epoch."""
    torch.manual_seed(0)  # the order of batches
    pixels, labels = load_digits(return_X_y=True)
    images = pixels.reshape(-1, 1, 8, 8).astype("float32") / 16  # (N, C, H, W) in [0, 1]
    split = train_test_split(images, labels, test_size=0.25, stratify=labels, random_state=0)
    x_train, x_val, y_train, y_val = map(torch.from_numpy, split)
    network = av.build(av.Architecture.from_json(config["architecture"]), seed=0)  # archsieve
    optimizer = torch.optim.SGD(network.parameters(), lr=config["lr"], momentum=0.9)
    for _ in range(EPOCHS):
        network.train()
        for batch in torch.randperm(len(x_train)).split(64):
            loss = nn.functional.cross_entropy(network(x_train[batch]), y_train[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            tune.report({"val_accuracy": (network(x_val).argmax(1) == y_val).float().mean().item()})


def main(trials: int = 6) -> None:
    """Run Tune, import its results, and print the best trials from the database."""
    ray.init("local", include_dashboard=False, log_to_driver=False)
    loop = av.ask_tell("mixed", av.Budget(params="60k", macs="1M"), {"lr": av.Range(0.01, 0.3, log=True)})  # archsieve
    searcher = ConcurrencyLimiter(AskTellSearch(loop, metric="val_accuracy"), max_concurrent=2)
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            train,
            tune_config=tune.TuneConfig(search_alg=searcher, num_samples=trials),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        results = tuner.fit()
        av.import_trials(results, data="digits", name="from-tune")  # database, while the folder of Tune exists
    best = results.get_best_result("val_accuracy", "max")
    print(f"{len(results)} trials; best: accuracy {best.metrics['val_accuracy']:.4f}, lr {best.config['lr']:.3g}")

    with av.open_results("runs/archsieve.db") as stored:  # database
        for trial in stored.best(run="from-tune", params="60k", macs="1M", top=3):  # database
            print(f"trial {trial.number}: accuracy {trial.val_accuracy:.4f}, {trial.params:,} params")  # database


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
