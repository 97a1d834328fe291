"""Fixtures of the plug-in tests: custom parts, modules in a temporary folder, the import path restored afterwards."""

import sys
from pathlib import Path

import pytest

HEAD = "from dataclasses import dataclass\nimport torch\nfrom torch import nn\nimport archsieve as av\n"
PARTS = (
    HEAD
    + """
__version__ = "1.2"

@av.register_block("own-conv")
@dataclass(frozen=True)
class OwnConv(av.Block):
    width: int

    def expand(self, shape):
        return (av.Conv(self.width), av.Conv(self.width, 1))

class Gate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.conv(x))

@av.register_block("own-gate")
@dataclass(frozen=True)
class OwnGate(av.ModuleBlock):
    def module(self, in_shape):
        return Gate(in_shape[0])

@av.register_dataset("own-bars", input_shape=(1, 8, 8), classes=2)
def load_bars(request):
    print("loaded")
    rng = torch.Generator().manual_seed(request.seed)
    images = torch.randint(0, 100, (200, 1, 8, 8), dtype=torch.uint8, generator=rng)
    labels = torch.arange(200) % 2
    for image, label, row in zip(images, labels, torch.randint(8, (200,), generator=rng)):
        (image[0].T if label else image[0])[row] += 150
    return av.Source(("lying", "standing"), av.Split(images, labels))

@av.register_metric("own_misses", higher_is_better=False)
def own_misses(labels, scores):
    return (scores.argmax(1) != labels).mean()

@av.register_searcher("own-searcher")
class OwnSearcher(av.Searcher):
    def ask(self, history, rng):
        print("asked")
        return self.random_proposal(history, rng)
"""
)
SPACE = {
    "input_shape": [1, 8, 8],
    "classes": 2,
    "blocks": [
        {"kind": "own-conv", "width": {"choice": [4, 8, 12, 16]}},
        {"kind": "own-gate"},
        {"kind": "global-average"},
    ],
}


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.py"
    path.write_text(text)
    return path


@pytest.fixture
def import_path(monkeypatch):
    """Restore the import path, and the modules that lie in temporary folders."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if "pytest-" in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]
