"""An Optuna study whose networks come from a space of archsieve under a budget.

    python examples/optuna_objective.py [trials]

Optuna runs the trials and chooses the learning rate. archsieve chooses the network, which is always inside the budget.
The five lines that end with `# archsieve` are all that differs from a study with hand-written networks.

The lines that end with `# database` are optional. They import the study into a results database, where it can be
queried like any other run.
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

loop = av.ask_tell("mixed", av.Budget(params="60k", macs="1M"))  # archsieve


def objective(trial: optuna.Trial) -> float:
    """Return the validation accuracy of one network after the last epoch."""
    asked = loop.ask()  # archsieve
    network = av.build(asked.architecture, seed=asked.seed)  # archsieve
    trial.set_user_attr("architecture", asked.architecture.to_json())  # database
    lr = trial.suggest_float("lr", 0.01, 0.3, log=True)
    optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9)
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
    loop.tell(asked, accuracy)  # archsieve
    return accuracy


def main(trials: int = 6) -> None:
    """Run the study, import it, and print its best trials from the database."""
    torch.manual_seed(0)  # the order of batches
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=trials)
    print(f"{len(study.trials)} trials; best: trial {study.best_trial.number}, accuracy {study.best_value:.4f}")

    av.import_trials(study, data="digits", name="from-optuna")  # database
    with av.open_results("runs/archsieve.db") as results:  # database
        for stored in results.best(run="from-optuna", params="60k", macs="1M", top=3):  # database
            print(f"trial {stored.number}: accuracy {stored.val_accuracy:.4f}, {stored.params:,} params")  # database


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
