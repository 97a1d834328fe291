"""A `GridSearchCV` of scikit-learn over networks that archsieve draws from a space under a budget.

    python examples/sklearn_grid_search.py [networks]

The grid has a list of networks, drawn uniformly over all that are inside the budget. The three lines that end with
`# archsieve` are all that differs from a grid over hand-written networks.
"""

import sys
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from torch import nn

import archsieve as av  # archsieve


class TorchClassifier(ClassifierMixin, BaseEstimator):
    """A classifier of images (N, C, H, W) that trains a new network in each ``fit``."""

    def __init__(self, network: Any = None, lr: float = 0.1, epochs: int = 2) -> None:
        self.network = network
        self.lr = lr
        self.epochs = epochs

    def fit(self, x: np.ndarray, y: np.ndarray) -> "TorchClassifier":
        """Train on images ``x`` (N, C, H, W) with labels ``y`` (N,)."""
        images, labels = torch.from_numpy(x), torch.from_numpy(y)
        self.classes_ = np.unique(y)
        self.module_ = av.build(self.network, seed=0)  # archsieve
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


def main(networks: int = 3) -> None:
    """Cross-validate each network with each learning rate and print the best one."""
    torch.manual_seed(0)  # the order of batches
    pixels, labels = load_digits(return_X_y=True)
    images = pixels.reshape(-1, 1, 8, 8).astype("float32") / 16  # (N, C, H, W) in [0, 1]
    drawn = av.sample("mixed", av.Budget(params="60k", macs="1M"), n=networks)  # archsieve
    search = GridSearchCV(TorchClassifier(), {"network": drawn, "lr": [0.05]}, cv=2)
    search.fit(images, labels)
    for number, score in enumerate(search.cv_results_["mean_test_score"]):
        print(f"trial {number}: accuracy {score:.4f}")
    params = sum(parameter.numel() for parameter in search.best_estimator_.module_.parameters())
    print(f"best: trial {search.best_index_}, accuracy {search.best_score_:.4f}, {params:,} params")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
