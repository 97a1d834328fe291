"""Accuracy in int8 after quantisation-aware training, against that of rounding after the training, on the digits.

    pip install 'archsieve[devices]'
    python benchmarks/quantization_aware.py --seeds 5

Each seed trains one network twice, with the same weights at the start and the same batches: in float32 in all epochs,
and with the last epochs in simulated int8. torchao then quantises the best epoch of both; training images calibrate it.
"""

import argparse
from statistics import mean, stdev
from time import process_time

import torch

from archsieve.models.data.registry import load_data
from archsieve.models.networks.build import build
from archsieve.models.quantization.validation import int8_metrics
from archsieve.models.training.trainer import Fit
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.residual import Residual
from archsieve.spaces.blocks.standard import Conv, GlobalAverage
from archsieve.spaces.metrics.registry import ACCURACY
from archsieve.spaces.recipes.recipe import Recipe

WIDTHS = (16, 24, 48)  # of a convolution and of two residual blocks


def trained(seed: int, epochs: int, qat_epochs: int, widths: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Return the accuracies in float32 and int8 at the best epoch, and CPU seconds of the training and of torchao."""
    data = load_data("digits")
    first, *others = widths
    blocks = (Conv(first), *(Residual(width) for width in others), GlobalAverage())
    network = build(Architecture(data.input_shape, blocks, data.n_classes), seed=seed)
    started = process_time()
    fit = Fit(network, data, Recipe(epochs=epochs, qat_epochs=qat_epochs), seed=seed, keep_best=True)
    while not fit.done:
        fit.step()
    seconds = process_time() - started
    assert fit.best is not None
    fit.best_networks()
    started = process_time()
    accuracy = int8_metrics(fit.network, data, [ACCURACY])[ACCURACY]
    return fit.best.val_accuracy, accuracy, seconds, process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--qat-epochs", type=int, default=3)
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    gains = []
    print("seed  float32  int8    float32 qat  int8 qat  CPU s  CPU s qat  torchao CPU s", flush=True)
    for seed in range(options.seeds):
        exact, int8, seconds, torchao = trained(seed, options.epochs, 0, tuple(options.widths))
        qat_exact, qat_int8, qat_seconds, _ = trained(seed, options.epochs, options.qat_epochs, tuple(options.widths))
        gains.append(100 * (qat_int8 - int8))
        print(
            f"{seed:4}  {exact:.4f}   {int8:.4f}  {qat_exact:.4f}       {qat_int8:.4f}    {seconds:5.1f}  "
            f"{qat_seconds:9.1f}  {torchao:.1f}",
            flush=True,
        )
    spread = f", standard deviation {stdev(gains):.2f}" if len(gains) > 1 else ""
    print(f"int8 after quantisation-aware training - int8: mean {mean(gains):+.2f} points{spread}, n = {len(gains)}")


if __name__ == "__main__":
    main()
