"""A Ray Tune run with ASHA whose networks come from a space of archsieve under a budget.

    python examples/ray_tune_asha.py [trials]

The search space of Tune has a list of networks that archsieve draws, uniformly over all that are inside the budget.
Tune draws one for each trial, and ASHA stops weak trials early. The three lines that end with `# archsieve` are all
that differs from a run over hand-written networks.
"""

import sys
import tempfile
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import archsieve as av  # archsieve

EPOCHS = 3


def train(config: dict[str, Any]) -> None:
    """Train one network and report its validation accuracy after each epoch."""
    torch.manual_seed(0)  # the order of batches
    pixels, labels = load_digits(return_X_y=True)
    images = pixels.reshape(-1, 1, 8, 8).astype("float32") / 16  # (N, C, H, W) in [0, 1]
    split = train_test_split(images, labels, test_size=0.25, stratify=labels, random_state=0)
    x_train, x_val, y_train, y_val = map(torch.from_numpy, split)
    network = av.build(config["network"], seed=0)  # archsieve
    optimizer = torch.optim.SGD(network.parameters(), lr=config["lr"], momentum=0.9)
    params = sum(parameter.numel() for parameter in network.parameters())
    for _ in range(EPOCHS):
        network.train()
        for batch in torch.randperm(len(x_train)).split(64):
            loss = nn.functional.cross_entropy(network(x_train[batch]), y_train[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            accuracy = (network(x_val).argmax(1) == y_val).float().mean().item()
        tune.report({"val_accuracy": accuracy, "params": params})


def main(trials: int = 6) -> None:
    """Run Tune and print its trials."""
    ray.init("local", include_dashboard=False, log_to_driver=False)
    networks = av.sample("mixed", av.Budget(params="60k", macs="1M"), n=20)  # archsieve
    param_space = {"network": tune.choice(networks), "lr": tune.loguniform(0.01, 0.3)}
    scheduler = ASHAScheduler(max_t=EPOCHS, grace_period=1, reduction_factor=2)
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            train,
            param_space=param_space,
            tune_config=tune.TuneConfig(metric="val_accuracy", mode="max", scheduler=scheduler, num_samples=trials),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        results = tuner.fit()
    for number, result in enumerate(results):
        print(f"trial {number}: accuracy {result.metrics['val_accuracy']:.4f}, {result.metrics['params']:,} params")
    best = results.get_best_result()
    print(f"best: accuracy {best.metrics['val_accuracy']:.4f}, lr {best.config['lr']:.3g}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
