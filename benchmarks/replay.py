"""Compare schedulers and searchers on synthetic learning curves under a simulated clock, through ``av.replay``.

The curves are of the form ``final - (final - start) * exp(-epoch / slowness)`` with noise from the seed: large networks
have a higher final accuracy and learn more slowly, and the learning rate decides how close a network comes to it. An
epoch takes one second for each million multiply-accumulates. The result is the regret: how much worse the best complete
or stopped trial is than the best of 2,000 random ones, in points of accuracy, after 5, 10 and 20 times the seconds of
one complete training of the largest network.

    python benchmarks/replay.py [--seeds 10] [--workers 4] [--searchers gp,tpe,random] [--schedulers none,asha]
"""

import argparse
import math
import random
import statistics

import archsieve as av

EPOCHS, SHARES = 27, (5, 10, 20)
SPACE = av.Space(
    (3, 32, 32),
    [
        av.Conv(av.choice(8, 16, 32)),
        *(av.repeat(av.Residual(av.choice(8, 16, 32, 64)), av.choice(1, 2, 3)) for _ in range(2)),
        av.GlobalAverage(),
    ],
    classes=10,
)
RECIPE = {"epochs": EPOCHS, "lr": av.Range(0.001, 1.0, log=True)}


def curve(architecture, recipe):
    """Return the accuracy after each epoch; the noise depends on the network and its learning rate alone."""
    size = math.log10(architecture.cost.params) - 3
    final = 0.95 - 0.5 * math.exp(-size) - 0.1 * (math.log10(recipe.lr) + 1) ** 2
    rng = random.Random(f"{architecture.fingerprint}/{recipe.lr}")
    values = (final - (final - 0.1) * math.exp(-epoch / (2 + 3 * size)) for epoch in range(1, EPOCHS + 1))
    return [min(1.0, max(0.0, value + rng.gauss(0, 0.01))) for value in values]


def seconds(architecture, recipe):
    return architecture.cost.macs / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--searchers", default="gp,tpe,random")
    parser.add_argument("--schedulers", default="none,asha,hyperband,median")
    args = parser.parse_args()
    networks = av.sample(SPACE, n=400, seed=0)
    whole = EPOCHS * max(seconds(one, None) for one in networks)
    rates = [10 ** (-1.5 + step / 4) for step in range(5)]
    best = max(max(curve(one, av.Recipe(lr=lr, epochs=EPOCHS))) for one in networks for lr in rates)
    print(f"n = {args.seeds} seeds; {args.workers} workers; median regret in points after {SHARES} full trainings")
    for searcher in args.searchers.split(","):
        for scheduler in args.schedulers.split(","):
            runs = [
                av.replay(
                    SPACE,
                    curve,
                    None,
                    RECIPE,
                    trials=2000,
                    workers=args.workers,
                    epoch_seconds=seconds,
                    time_limit=SHARES[-1] * whole,
                    searcher=searcher,
                    scheduler=scheduler,
                    seed=seed,
                )
                for seed in range(args.seeds)
            ]
            regrets = [[100 * (best - (run.best(share * whole) or 0.0)) for run in runs] for share in SHARES]
            texts = [f"{statistics.median(values):5.2f}" for values in regrets]
            trials = statistics.median(len(run.trials) for run in runs)
            print(f"  {searcher:10} {scheduler:10} {'  '.join(texts)}  ({trials:.0f} trials)", flush=True)


if __name__ == "__main__":
    main()
