"""A loop over `cross_val_score` of scikit-learn whose networks come from a space of archsieve under a budget.

    python examples/sklearn_style.py [trials]

The estimator takes a function that returns a new `torch.nn.Module`, as the estimators of skorch do. The five lines that
end with `# archsieve` are all that differs from a loop over `ParameterSampler`.
"""

import sys
from collections.abc import Callable
from functools import partial
from itertools import islice

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from torch import nn

import archsieve as av  # archsieve


class TorchClassifier(ClassifierMixin, BaseEstimator):
    """A classifier of images (N, C, H, W) that trains a new ``module()`` in each ``fit``."""

    def __init__(self, module: Callable[[], nn.Module], lr: float = 0.1, epochs: int = 2) -> None:
        self.module = module
        self.lr = lr
        self.epochs = epochs

    def fit(self, x: np.ndarray, y: np.ndarray) -> "TorchClassifier":
        """Train on images ``x`` (N, C, H, W) with labels ``y`` (N,)."""
        images, labels = torch.from_numpy(x), torch.from_numpy(y)
        self.classes_ = np.unique(y)
        self.module_ = self.module()
        optimizer = torch.optim.SGD(self.module_.parameters(), lr=self.lr, momentum=0.9)
        self.module_.train()
        for _ in range(self.epochs):
            for batch in torch.randperm(len(images)).split(64):
                loss = nn.functional.cross_entropy(self.module_(images[batch]), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the label of each image in ``x``. ``ClassifierMixin.score`` calls it."""
        self.module_.eval()
        with torch.no_grad():
            return self.classes_[self.module_(torch.from_numpy(x)).argmax(1).numpy()]


def main(trials: int = 4) -> None:
    """Cross-validate ``trials`` networks and print the best one."""
    torch.manual_seed(0)  # the order of batches
    pixels, labels = load_digits(return_X_y=True)
    images = pixels.reshape(-1, 1, 8, 8).astype("float32") / 16  # (N, C, H, W) in [0, 1]
    loop = av.ask_tell("mixed", av.Budget(params="60k", macs="1M"), {"lr": av.Range(0.01, 0.3, log=True)})  # archsieve
    results = []
    for number, trial in enumerate(islice(iter(loop.ask, None), trials)):  # archsieve
        model = TorchClassifier(partial(av.build, trial.architecture, seed=trial.seed), trial.recipe.lr)  # archsieve
        score = cross_val_score(model, images, labels, cv=3).mean()
        loop.tell(trial, score)  # archsieve
        params = sum(parameter.numel() for parameter in model.module().parameters())
        results.append((score, number))
        print(f"trial {number}: accuracy {score:.4f}, {params:,} params, lr {model.lr:.3g}", flush=True)
    score, number = max(results)
    print(f"best: trial {number}, accuracy {score:.4f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
