"""The wheel: built, installed without the sources, used in a folder with other packages models and search."""

import subprocess
import sys
import sysconfig
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import archsieve

ROOT = Path(archsieve.__file__).resolve().parent
VERSION = archsieve.__version__
SEARCH = """
name = "tiny"
[data]
limit = 200
[budget]
params = "20k"
[recipe]
epochs = 1
[search]
trials = 2
searcher = "random"
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", *options], check=True)
    (path,) = folder.glob("archsieve-*.whl")
    return path


def test_the_wheel_contains_only_the_package(wheel):
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        (metadata,) = (packed.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
    folders = {name.split("/")[1] for name in names if name.startswith("archsieve/") and name.count("/") > 1}
    assert folders == {"models", "results", "search", "spaces"}
    assert {name.split("/")[0] for name in names} == {"archsieve", f"archsieve-{archsieve.__version__}.dist-info"}
    assert "archsieve/py.typed" in names
    source = {
        str(Path("archsieve", path.relative_to(ROOT)))
        for name in folders
        for kind in ("*.py", "*.jinja", "*.css")
        for path in (ROOT / name).rglob(kind)
    }
    assert source <= set(names)
    headers = Parser().parsestr(metadata)
    requirements = [line for line in headers.get_all("Requires-Dist") if "extra ==" not in line]
    assert not any(line.startswith(("pytest", "psycopg", "onnx", "timm", "fvcore", "mlflow")) for line in requirements)
    assert headers["License-Expression"] == "Apache-2.0"


@pytest.mark.slow
def test_an_installed_wheel_searches_from_a_folder_with_packages_of_the_same_names(wheel, tmp_path):
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "needed.pth").write_text(sysconfig.get_path("purelib"))  # the dependencies, but not archsieve itself
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel], check=True)
    work = tmp_path / "work"
    for name in ("models", "search", "results", "spaces"):
        (work / name).mkdir(parents=True)
        (work / name / "__init__.py").write_text("raise RuntimeError('a package of the user')\n")
    (work / "tiny.toml").write_text(SEARCH)

    def archsieve(*arguments):
        return subprocess.run(
            [venv / "bin" / "python", "-m", "archsieve", *arguments],
            capture_output=True,
            text=True,
            cwd=work,
            check=False,
        )

    where = subprocess.run(
        [venv / "bin" / "python", "-c", "import archsieve; print(archsieve.__file__)"],
        capture_output=True,
        text=True,
        cwd=work,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(site)
    assert archsieve("--version").stdout == f"archsieve {VERSION}\n"
    searched = archsieve("search", "tiny.toml")
    assert searched.returncode == 0, searched.stderr
    best = archsieve("results", "best", "--max-params", "20k")
    assert best.returncode == 0
    assert "tiny" in best.stdout
