"""A plain training loop that asks archsieve for the next network.

    python examples/own_loop.py [trials]

`ask()` returns a trial: a network inside the budget and a learning rate. `tell()` reports its accuracy, which the next
`ask()` takes into account. The five lines that end with `# archsieve` are all that differs from a loop whose networks
are written by hand.

"mixed" is a named space for images of 1x8x8 pixels and 10 classes. For other data pass an `av.Space`. In a small space
`ask()` returns None when everything inside the budget was tried.
"""

import sys

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import archsieve as av  # archsieve

PIXELS, LABELS = load_digits(return_X_y=True)
IMAGES = PIXELS.reshape(-1, 1, 8, 8).astype("float32") / 16  # (N, C, H, W) in [0, 1]
SPLIT = train_test_split(IMAGES, LABELS, test_size=0.25, stratify=LABELS, random_state=0)
X_TRAIN, X_VAL, Y_TRAIN, Y_VAL = map(torch.from_numpy, SPLIT)


def train(network: nn.Module, lr: float, epochs: int = 3) -> float:
    """Train ``network`` and return its validation accuracy."""
    optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9)
    network.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(X_TRAIN)).split(64):
            loss = nn.functional.cross_entropy(network(X_TRAIN[batch]), Y_TRAIN[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    network.eval()
    with torch.no_grad():
        return (network(X_VAL).argmax(1) == Y_VAL).float().mean().item()


def main(trials: int = 6) -> None:
    """Train ``trials`` networks and print the best one."""
    torch.manual_seed(0)  # the order of batches
    loop = av.ask_tell("mixed", av.Budget(params="60k", macs="1M"), {"lr": av.Range(0.01, 0.3, log=True)})  # archsieve
    results = []
    for number in range(trials):
        trial = loop.ask()  # archsieve
        network, lr = av.build(trial.architecture, seed=trial.seed), trial.recipe.lr  # archsieve
        accuracy = train(network, lr)
        loop.tell(trial, accuracy)  # archsieve
        params = sum(parameter.numel() for parameter in network.parameters())
        results.append((accuracy, number))
        print(f"trial {number}: accuracy {accuracy:.4f}, {params:,} params, lr {lr:.3g}", flush=True)
    accuracy, number = max(results)
    print(f"best: trial {number}, accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
