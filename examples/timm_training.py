"""A training script with optimizer, schedule, mixup and loss of timm, as trials of archsieve.

    python examples/timm_training.py [trials]

archsieve calls `main` for each trial of a search under a budget, and stores what it reports. The five lines that end
with `# archsieve` are all that differs from a script that begins with `timm.create_model`.
"""

import sys
from typing import Any

import torch
from timm.data import Mixup
from timm.loss import SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import AverageMeter, accuracy
from torch import nn
from torch.utils.data import DataLoader

import archsieve as av  # archsieve

EPOCHS = 3


def validate(model: nn.Module, loader: DataLoader) -> float:
    """Return the top-1 accuracy in percent."""
    model.eval()
    top1 = AverageMeter()
    with torch.no_grad():
        for images, labels in loader:
            (share,) = accuracy(model(images), labels)
            top1.update(share.item(), len(labels))
    return top1.avg


def main(job: Any) -> None:
    """Train one network."""
    model, train_set, val_set = job.module, job.dataset("train"), job.dataset("val")  # archsieve
    train_loader = DataLoader(train_set, batch_size=64, shuffle=True, drop_last=True)
    val_loader = DataLoader(val_set, batch_size=256)
    mixup = Mixup(mixup_alpha=0.2, num_classes=10, label_smoothing=0.1)
    criterion = SoftTargetCrossEntropy()
    optimizer = create_optimizer_v2(model, opt="adamw", lr=0.01, weight_decay=0.02)
    scheduler, epochs = create_scheduler_v2(optimizer, sched="cosine", num_epochs=EPOCHS)
    job.checkpoint(optimizer=optimizer, scheduler=scheduler)  # archsieve
    for epoch in range(job.start_epoch, epochs):
        model.train()
        for batch, classes in train_loader:
            images, labels = mixup(batch, classes)
            optimizer.zero_grad()
            criterion(model(images), labels).backward()
            optimizer.step()
        scheduler.step(epoch + 1)
        top1 = validate(model, val_loader)
        job.report(epoch + 1, accuracy=top1 / 100)  # archsieve


if __name__ == "__main__":
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    options = {"budget": {"params": "60k", "macs": "1M"}, "recipe": {"epochs": EPOCHS}, "trials": trials}
    result = av.run_search(data="digits", train=main, name="timm-training", **options)  # archsieve
    for trial in result.trials:
        print(f"trial {trial.number}: accuracy {trial.val_accuracy:.4f}, {trial.params:,} params")
    print(f"best: trial {result.best[0].number}, accuracy {result.best[0].val_accuracy:.4f}")
