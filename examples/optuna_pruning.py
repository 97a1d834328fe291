"""An Optuna study with a pruner and a time limit whose networks come from a space of archsieve under a budget.

    python examples/optuna_pruning.py [trials]

archsieve draws twenty networks inside the budget, uniformly over all of them. Optuna chooses the network and the
learning rate, and prunes weak trials. The three lines that end with `# archsieve` are all that differs from a study
over a list of hand-written networks.
"""

import sys

import optuna
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import archsieve as av  # archsieve

PIXELS, LABELS = load_digits(return_X_y=True)
IMAGES = PIXELS.reshape(-1, 1, 8, 8).astype("float32") / 16  # (N, C, H, W) in [0, 1]
SPLIT = train_test_split(IMAGES, LABELS, test_size=0.25, stratify=LABELS, random_state=0)
X_TRAIN, X_VAL, Y_TRAIN, Y_VAL = map(torch.from_numpy, SPLIT)
EPOCHS = 3
NETWORKS = av.sample("mixed", av.Budget(params="60k", macs="1M"), n=20)  # archsieve


def objective(trial: optuna.Trial) -> float:
    """Return the validation accuracy of one network after the last epoch."""
    number = trial.suggest_categorical("network", range(len(NETWORKS)))
    network = av.build(NETWORKS[number], seed=0)  # archsieve
    lr = trial.suggest_float("lr", 0.01, 0.3, log=True)
    optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9)
    trial.set_user_attr("params", sum(parameter.numel() for parameter in network.parameters()))
    for epoch in range(EPOCHS):
        network.train()
        for batch in torch.randperm(len(X_TRAIN)).split(64):
            loss = nn.functional.cross_entropy(network(X_TRAIN[batch]), Y_TRAIN[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            accuracy = (network(X_VAL).argmax(1) == Y_VAL).float().mean().item()
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return accuracy


def main(trials: int = 8) -> None:
    """Run the study and print its trials."""
    torch.manual_seed(0)  # the order of batches
    pruner = optuna.pruners.MedianPruner(n_startup_trials=2)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0), pruner=pruner)
    study.optimize(objective, n_trials=trials, timeout=600)
    for trial in study.trials:
        print(f"trial {trial.number}: accuracy {trial.value:.4f}, {trial.user_attrs['params']:,} params")
    print(f"best: trial {study.best_trial.number}, accuracy {study.best_value:.4f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
