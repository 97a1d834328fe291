"""Every node of a cluster can read the images before the first trial, or the run stops with a list."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).with_name("two_nodes.py")


@pytest.mark.slow
def test_nodes_build_their_own_cache_and_those_without_the_images_are_listed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(20):
            file = tmp_path / "images" / name / f"{number:02}.png"
            Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(file)
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path / "images"), str(tmp_path / "cache")],
        env={**os.environ, "RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = dict(line.split(" ", 1) for line in ended.stdout.splitlines() if " " in line)
    assert lines["files"] == "['.lock', '.pixels']"  # one file, although two nodes of this machine needed it
    assert lines["memory"] == "None"
    assert "2 of 2" in lines["error"]
    assert str(tmp_path / "images") in lines["error"]
