"""A LightningModule whose network comes from a space of archsieve under a budget. Needs `pip install lightning`.

    python examples/lightning_module.py [trials]

archsieve calls `main` for each trial of a search, and stores what the callback reports. The four lines that end with
`# archsieve` are all that differs from a script with a hand-written network.
"""

import sys
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import archsieve as av  # archsieve

EPOCHS = 3


class Classifier(lightning.LightningModule):
    """A classifier of images around any network."""

    def __init__(self, network: nn.Module, lr: float = 0.05) -> None:
        super().__init__()
        self.network, self.lr = network, lr

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the loss of a batch."""
        images, labels = batch
        return nn.functional.cross_entropy(self.network(images), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        """Log the accuracy of a batch."""
        images, labels = batch
        self.log("val_accuracy", (self.network(images).argmax(1) == labels).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)


class ShowAccuracy(lightning.Callback):
    """Calls a function with each epoch and its validation accuracy."""

    def __init__(self, show: Any, start: int) -> None:
        self.show, self.start = show, start

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Show the accuracy of the validation that has just ended."""
        self.show(self.start + trainer.current_epoch + 1, accuracy=float(trainer.callback_metrics["val_accuracy"]))


def main(job: Any) -> None:
    """Train one network."""
    network, train_set, val_set = job.module, job.dataset("train"), job.dataset("val")  # archsieve
    train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=256)
    show, start = job.report, job.start_epoch  # archsieve
    trainer = lightning.Trainer(
        max_epochs=EPOCHS - start,
        callbacks=[ShowAccuracy(show, start)],
        accelerator="auto",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(Classifier(network), train_loader, val_loader)


if __name__ == "__main__":
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    options = {"budget": {"params": "60k", "macs": "1M"}, "recipe": {"epochs": EPOCHS}, "trials": trials}
    result = av.run_search(data="digits", train=main, name="lightning", **options)  # archsieve
    for trial in result.trials:
        print(f"trial {trial.number}: accuracy {trial.val_accuracy:.4f}, {trial.params:,} params")
    print(f"best: trial {result.best[0].number}, accuracy {result.best[0].val_accuracy:.4f}")
