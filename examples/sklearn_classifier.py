"""A classifier of scikit-learn with `fit` and `score` that is a whole search of archsieve under a budget.

    python examples/sklearn_classifier.py [trials]

The two lines that end with `# archsieve` are all that differs from a script with `MLPClassifier`.
"""

import sys

from sklearn.datasets import load_digits
from sklearn.metrics import classification_report
from sklearn.model_selection import train_test_split

import archsieve as av  # archsieve


def main(trials: int = 4) -> None:
    """Search, train the best network, and print how it classifies images that it has not seen."""
    digits = load_digits()
    split = train_test_split(digits.images / 16, digits.target, test_size=0.25, random_state=0)  # images (N, H, W)
    x_train, x_test, y_train, y_test = split
    classifier = av.ArchitectureSearchClassifier(
        {"params": "60k", "macs": "1M"}, trials, recipe={"epochs": 3}
    )  # archsieve
    classifier.fit(x_train, y_train)
    print(classification_report(y_test, classifier.predict(x_test), zero_division=0))
    print(f"best: accuracy {classifier.score(x_test, y_test):.4f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
