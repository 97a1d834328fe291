"""Compare searchers with ASHA on learning curves of LCBench under a simulated clock, through ``av.replay``.

LCBench (Zimmer et al. 2021, arXiv 2006.13799) has the learning curves of 2,000 multilayer perceptrons on each of 34
tabular data sets over 52 epochs. The curves here are those of the surrogate of YAHPO Gym (Pfisterer et al. 2022, arXiv
2109.03670), an ONNX file that the command names: its inputs are the code of the task, and epoch, batch size, learning
rate, momentum, weight decay, number of layers, largest number of units, and dropout. It needs ``pip install
onnxruntime``.

The number of layers and of units are choices of the architecture, the others are ranges of the recipe. The result is
the regret: how much worse the best epoch of a search is than the best of 2,000 random configurations, in points of
validation accuracy, after 5, 10 and 20 complete trainings' worth of epochs. Median over all tasks and seeds (25 % to
75 %).

    python benchmarks/learning_curves.py lcbench_surrogate.onnx lcbench_encoding.json [--tasks 3945,7593] [--seeds 5]
        [--arms gp:asha,tpe:asha,random:asha]
"""

import argparse
import json
import random
import statistics
from functools import cache
from pathlib import Path

import numpy as np

import archsieve as av

EPOCHS, SHARES = 52, (5, 10, 20)
ACCURACY = 1  # column of the surrogate's output
UNITS = (64, 96, 128, 192, 256, 384, 512, 768, 1024)
SPACE = av.Space((1, 8, 8), [av.GlobalAverage(), av.repeat(av.Linear(av.choice(*UNITS)), av.choice(1, 2, 3, 4, 5))], 10)
RECIPE = {
    "epochs": EPOCHS,
    "batch_size": av.Range(16, 512, log=True, integer=True),
    "lr": av.Range(1e-4, 0.1, log=True),
    "momentum": av.Range(0.1, 0.99),
    "weight_decay": av.Range(1e-5, 0.1),
    "dropout": av.Range(0.0, 0.99),
}


class Curves:
    """The learning curves of one task."""

    def __init__(self, surrogate: str, task: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session, self._task = onnxruntime.InferenceSession(surrogate, options), task

    def of(self, layers: int, units: int, recipe: av.Recipe) -> list[float]:
        """Return the accuracy after each epoch, 0 to 1."""
        values = (recipe.batch_size, recipe.lr, recipe.momentum, recipe.weight_decay, layers, units, recipe.dropout)
        x = np.array([[epoch, *values] for epoch in range(1, EPOCHS + 1)], np.float32)
        tasks = np.full((EPOCHS, 1), self._task, np.int32)
        output = self._session.run(None, {"x_cat": tasks, "x_cont": x})[0][:, ACCURACY]
        return [float(value) for value in np.clip(output / 100, 0, 1)]

    def __call__(self, architecture: av.Architecture, recipe: av.Recipe) -> list[float]:
        layers = [block.width for block in architecture.blocks[1:]]
        return self.of(len(layers), max(layers), recipe)

    def best(self) -> float:
        """Return the best accuracy of 2,000 random configurations."""
        loop = av.ask_tell(SPACE, None, RECIPE, searcher="random")
        rng, best = random.Random(0), 0.0
        for _ in range(2000):
            values = {key: one.at(rng.random()) for key, one in RECIPE.items() if isinstance(one, av.Range)}
            best = max(best, *self.of(rng.randint(1, 5), rng.choice(UNITS), loop.recipes.fill(values)))
        return best


@cache
def best_of(surrogate: str, task: int) -> float:
    return Curves(surrogate, task).best()


def regrets(surrogate: str, task: int, arm: str, seed: int) -> list[float]:
    searcher, scheduler = arm.split(":")
    run = av.replay(
        SPACE,
        Curves(surrogate, task),
        None,
        RECIPE,
        trials=2000,
        time_limit=SHARES[-1] * EPOCHS,
        searcher=searcher,
        scheduler=scheduler,
        seed=seed,
    )
    return [100 * (best_of(surrogate, task) - (run.best(share * EPOCHS) or 0.0)) for share in SHARES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("surrogate")
    parser.add_argument("encoding", type=Path)
    parser.add_argument("--tasks", default="3945,7593,34539,126025")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--arms", default="gp:asha,tpe:asha,random:asha")
    args = parser.parse_args()
    codes = json.loads(args.encoding.read_text())["OpenML_task_id"]
    tasks = [codes[name] for name in args.tasks.split(",")]
    print(f"regret in points after {SHARES} trainings; {len(tasks)} tasks, n = {args.seeds} seeds each", flush=True)
    for arm in args.arms.split(","):
        seeds = range(args.first_seed, args.first_seed + args.seeds)
        rows = [regrets(args.surrogate, task, arm, seed) for task in tasks for seed in seeds]
        texts = []
        for values in zip(*rows, strict=True):
            low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
            texts.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
        print(f"  {arm:14} {'  '.join(texts)}", flush=True)


if __name__ == "__main__":
    main()
