"""Pages: the fenced blocks of the documentation, and the folder and shell in which they are run."""

import gc
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from PIL import Image

import archsieve
from archsieve.models.data.dataset import ImageData, Split
from archsieve.models.export.classifier import ImageModel
from archsieve.models.export.formats import export
from archsieve.models.networks.build import build
from archsieve.search.cli.main import app, main
from archsieve.search.cli.options import DATABASE
from archsieve.search.experiment.experiment import experiment
from archsieve.search.experiment.search_file import parse
from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.blocks.standard import Conv, GlobalAverage

ROOT = Path(archsieve.__file__).resolve().parent
PAGES = [
    *sorted(path for path in ROOT.glob("*.md")),
    ROOT / "benchmarks" / "README.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md")),
]
RUN = ("sh", "console", "python", "toml")
TABLE_COLUMNS = ("text", "yaml")  # what is printed, and what only others read
# A page that asks of a run before it has searched asks of the published one.
ASKS = re.compile(r"archsieve (results|status|report|train|ensemble|export|resume|db|doctor \d)")
PUBLISHED = "docs/digits.parquet"
# The first line of a block that a reader saves as a file, such as "# my_blocks.py".
SAVED_AS = re.compile(r"# (\w+\.(?:py|toml))\n")
FENCE = re.compile(r"^```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Fenced:
    """A block of a page: ``start`` and ``end`` are those of its body in the page's text."""

    kind: str
    body: str
    start: int
    end: int

    @property
    def commands(self) -> list[str]:
        """The lines that are typed, continued ones joined, without comments."""
        lines = self.body.replace("\\\n", " ").splitlines()
        typed = [line[2:] for line in lines if line.startswith("$ ")] if self.kind == "console" else lines
        return [line for line in typed if shlex.split(line, comments=True)]


def fenced(text: str) -> list[Fenced]:
    """The blocks of a page in their order."""
    return [Fenced(found["kind"], found["body"], *found.span("body")) for found in FENCE.finditer(text)]


def save(block: Fenced) -> bool:
    """Write a block that begins with the name of a file into the working folder; return whether it does."""
    name = SAVED_AS.match(block.body)
    if name:
        Path(name[1]).write_text(block.body, encoding="utf-8")
        importlib.invalidate_caches()  # the next block may import it
    return name is not None


def furnish(folder: Path) -> None:
    """What the pages take for granted: the examples, the published run, images with labels and texts, a model."""
    shutil.copytree(ROOT / "examples", folder / "examples")
    (folder / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "digits.parquet", folder / "docs")
    rng = np.random.default_rng(0)
    for name in ("cat", "dog", "owl"):
        images = folder / "photos" / name
        images.mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(images / f"{number}.png")
        (folder / "articles").mkdir(exist_ok=True)
        (folder / "articles" / f"{name}.txt").write_text(f"a {name} is an animal")
    rows = [f"photos/{name}/{number}.png,{name}\n" for name in ("cat", "dog", "owl") for number in range(12)]
    (folder / "labels.csv").write_text("scan,species\n" + "".join(rows))
    model = photo_model()
    model.save(folder / "photos.safetensors")
    (folder / "photos.onnx").write_bytes(photo_graph())


@cache
def photo_graph() -> bytes:
    """The model as an ONNX file; cached, because an export takes seconds and every page needs it."""
    return export(photo_model(), "onnx").content


def photo_model() -> ImageModel:
    """An untrained model of the classes of the folder of images."""
    architecture = Architecture((3, 16, 16), (Conv(4), GlobalAverage()), 3)
    split = Split((torch.arange(3 * 3 * 256) % 256).to(torch.uint8).view(3, 3, 16, 16), torch.arange(3))
    data = ImageData.of("photos", ("cat", "dog", "owl"), train=split, val=split)
    return ImageModel.of(architecture, build(architecture, seed=0).state_dict(), data, {"val_accuracy": 0.5})


class Shell:
    """Runs what a page says, in this process and in the folder it stands in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys
        self.names: dict[str, Any] = {"__name__": "__main__"}  # as in a script: own classes can be sent to workers

    def run(self, line: str) -> tuple[int, str]:
        """The exit code of a command, and what it printed on stdout and stderr."""
        program, *arguments = shlex.split(line, comments=True)
        if program == "export":
            self.monkeypatch.setenv(*arguments[0].split("=", 1))
            return 0, ""
        if program == "make":  # what it would do: the targets are there, and their recipes run elsewhere on the pages
            made = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True)
            return made.returncode, made.stderr
        assert program == "archsieve", f"{line!r} is no command that the pages' test can run"
        if ASKS.match(line) and not DATABASE.exists():
            assert self.ours(["results", "import", PUBLISHED, "--db", str(DATABASE)])[0] == 0
        return self.ours(arguments)

    def ours(self, arguments: list[str]) -> tuple[int, str]:
        """The exit code of a command of ours, and what it printed."""
        self.monkeypatch.setattr(sys, "argv", ["archsieve", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        gc.enable()  # which the command line turns off
        gc.unfreeze()
        out, err = self.capsys.readouterr()
        return ended.value.code or 0, "\n".join(text.rstrip() for text in f"{out}{err}".splitlines()).strip("\n")

    def printed(self, code: str, page: Path) -> str:
        """What the Python of a block prints; the names of the page's blocks before are there."""
        self.capsys.readouterr()
        exec(compile(code, page.name, "exec"), self.names)
        return self.capsys.readouterr().out.strip("\n")


def check_toml(text: str, around: dict[str, Any]) -> None:
    """Check a search file, or a part of one: the rest is ``around``, or the defaults."""
    experiment(parse({**around, **tomllib.loads(text)}))


def check_spelling(line: str) -> None:
    """Check that a command of ours, and each option that is given to it, is there."""
    command: Any = typer.main.get_command(app)
    words = shlex.split(line, comments=True)[1:]
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"{line!r}: there is no command {words[0]!r}"
        command = command.commands[words.pop(0)]
    known = {"--help", *(name for given in command.params for name in (*given.opts, *given.secondary_opts))}
    options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert options <= known, f"{line!r}: there is no option {options - known}"


def check_shell(text: str) -> None:
    """Check that bash can read a script."""
    subprocess.run(["bash", "-n"], input=text, text=True, check=True, env=os.environ)
