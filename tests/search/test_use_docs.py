"""The pages on using a network and on the doctor: their Python runs, their tables have the rows of the code."""

import re
import shutil
from pathlib import Path

import archsieve
from archsieve.models.diagnose import CHECKS
from archsieve.models.export import FORMATS
from archsieve.models.forms import FORMS

DOCS = Path(archsieve.__file__).parent / "docs"


def run(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(code, page, "exec"), {})


def test_a_network_is_found_trained_again_and_used(tmp_path, monkeypatch, capsys, ray_running):
    shutil.copytree(DOCS.parent / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    run("use_a_network.md")
    assert capsys.readouterr().out.strip().endswith("torch.Size([2, 10])")


def test_a_healthy_network_is_said_to_be(capsys):
    run("doctor.md")
    assert capsys.readouterr().out.startswith("healthy")


def test_every_check_format_and_form_is_explained():
    doctor, use = ((DOCS / page).read_text(encoding="utf-8") for page in ("doctor.md", "use_a_network.md"))
    assert re.findall(r"^\| `([a-z][a-z-]*)` \|", doctor, re.MULTILINE) == list(CHECKS)
    assert re.findall(r"^\| `([a-z][a-z-]*)` \|", use, re.MULTILINE) == [*FORMATS, *FORMS]
