"""The notebook of the examples runs from its first cell to its last."""

import nbformat
import pytest
from nbclient import NotebookClient

from .pages import ROOT

NOTEBOOK = ROOT / "examples" / "first_search.ipynb"


@pytest.mark.slow
def test_the_notebook_runs_and_finds_networks_inside_its_budget(tmp_path, monkeypatch):
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "jupyter"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    check = (
        "assert len(trials) == 4 and len(curves) == 12\n"
        "assert (trials.params <= 20_000).all() and (trials.macs <= 1_000_000).all()"
    )
    notebook.cells.append(nbformat.v4.new_code_cell(check))
    NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(tmp_path)}}).execute()
