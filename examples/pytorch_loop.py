"""The usual PyTorch script, with its own DataLoaders and functions `train` and `test`, as trials of archsieve.

    python examples/pytorch_loop.py [trials]

archsieve calls `main` for each trial of a search under a budget, and stores what it reports. The five lines that end
with `# archsieve` are all that differs from a script with a hand-written network.
"""

import sys
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

import archsieve as av  # archsieve


def train(model: nn.Module, loader: DataLoader, optimizer: torch.optim.Optimizer) -> None:
    """Train one epoch."""
    model.train()
    for images, labels in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()


def test(model: nn.Module, loader: DataLoader) -> tuple[float, float]:
    """Return loss and accuracy."""
    model.eval()
    loss, hits = 0.0, 0
    with torch.no_grad():
        for images, labels in loader:
            scores = model(images)
            loss += nn.functional.cross_entropy(scores, labels, reduction="sum").item()
            hits += int((scores.argmax(1) == labels).sum())
    return loss / len(loader.dataset), hits / len(loader.dataset)


def main(job: Any) -> None:
    """Train one network."""
    model, train_set, test_set = job.module, job.dataset("train"), job.dataset("val")  # archsieve
    train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
    test_loader = DataLoader(test_set, batch_size=256)
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    job.checkpoint(optimizer=optimizer)  # archsieve
    for epoch in range(job.start_epoch + 1, job.recipe.epochs + 1):
        train(model, train_loader, optimizer)
        loss, accuracy = test(model, test_loader)
        job.report(epoch, loss=loss, accuracy=accuracy)  # archsieve


if __name__ == "__main__":
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    options = {"budget": {"params": "60k", "macs": "1M"}, "recipe": {"epochs": 3}, "trials": trials}
    result = av.run_search(data="digits", train=main, name="pytorch-loop", **options)  # archsieve
    for trial in result.trials:
        print(f"trial {trial.number}: accuracy {trial.val_accuracy:.4f}, {trial.params:,} params")
    print(f"best: trial {result.best[0].number}, accuracy {result.best[0].val_accuracy:.4f}")
