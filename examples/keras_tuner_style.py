"""A tuner in the style of KerasTuner whose networks come from a space of archsieve under a budget.

    python examples/keras_tuner_style.py [trials]

`build(hp)` returns the network of one trial. `Tuner.search` asks its oracle for a trial, trains the network, and
reports the result, as KerasTuner does. Keras itself is not needed. The five lines that end with `# archsieve` are all
that differs from a tuner whose `build` calls `hp.Int` and `hp.Float`.
"""

import sys
from collections.abc import Callable
from itertools import islice
from typing import Any

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

import archsieve as av  # archsieve

Compiled = tuple[nn.Module, torch.optim.Optimizer]


def build(hp: Any) -> Compiled:
    """Return the network of one trial and its optimizer."""
    network, lr = av.build(hp.architecture, seed=hp.seed), hp.recipe.lr  # archsieve
    return network, torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9)


class Tuner:
    """Train the networks that ``hypermodel`` builds, and keep their results."""

    def __init__(self, hypermodel: Callable[[Any], Compiled], oracle: Any, max_trials: int) -> None:
        self.hypermodel, self.oracle, self.max_trials = hypermodel, oracle, max_trials
        self.results: list[tuple[float, int, nn.Module]] = []  # (validation accuracy, number of the trial, network)

    def search(self, x: Tensor, y: Tensor, *, epochs: int, validation_data: tuple[Tensor, Tensor]) -> None:
        """Run all trials."""
        for number, hp in enumerate(islice(iter(self.oracle.ask, None), self.max_trials)):  # archsieve
            network, optimizer = self.hypermodel(hp)
            accuracy = fit(network, optimizer, x, y, epochs, validation_data)
            self.oracle.tell(hp, accuracy)  # archsieve
            self.results.append((accuracy, number, network))
            params = sum(parameter.numel() for parameter in network.parameters())
            print(f"trial {number}: accuracy {accuracy:.4f}, {params:,} params", flush=True)

    def get_best_models(self, num_models: int = 1) -> list[nn.Module]:
        """Return the trained networks with the highest validation accuracies."""
        ranked = sorted(self.results, key=lambda result: (-result[0], result[1]))
        return [network for _, _, network in ranked[:num_models]]


def fit(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    y: Tensor,
    epochs: int,
    validation_data: tuple[Tensor, Tensor],
) -> float:
    """Train ``network`` and return its validation accuracy, as `model.fit` of Keras does."""
    network.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            loss = nn.functional.cross_entropy(network(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return evaluate(network, *validation_data)


def evaluate(network: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the accuracy of ``network``."""
    network.eval()
    with torch.no_grad():
        return (network(x).argmax(1) == y).float().mean().item()


def main(trials: int = 5) -> None:
    """Search with ``trials`` networks and evaluate the best one."""
    torch.manual_seed(0)  # the order of batches
    pixels, labels = load_digits(return_X_y=True)
    images = pixels.reshape(-1, 1, 8, 8).astype("float32") / 16  # (N, C, H, W) in [0, 1]
    split = train_test_split(images, labels, test_size=0.25, stratify=labels, random_state=0)
    x_train, x_val, y_train, y_val = map(torch.from_numpy, split)
    loop = av.ask_tell("mixed", av.Budget(params="60k", macs="1M"), {"lr": av.Range(0.01, 0.3, log=True)})  # archsieve
    tuner = Tuner(build, oracle=loop, max_trials=trials)
    tuner.search(x_train, y_train, epochs=3, validation_data=(x_val, y_val))
    (best,) = tuner.get_best_models()
    print(f"best: accuracy {evaluate(best, x_val, y_val):.4f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
