"""The doctor on the command line, and the quicker network that it names."""

import json
import random

import pytest

from archsieve.results.database.records import History
from archsieve.search.post.diagnose import case_of_file, smaller
from archsieve.spaces.constrained.indexing import walk

from ..conftest import small

FILE = """
[data]
limit = 200
[budget]
params = "20k"
macs = "1M"
[space]
stem = 8
[[space.stages]]
block = ["conv-pool", "residual"]
width = [8, 16]
[recipe]
epochs = 2
lr = [0.1, 0.3]
[search]
searcher = "random"
"""


def test_a_file_is_examined_by_its_first_proposal(command, tmp_path):
    (tmp_path / "search.toml").write_text(FILE)
    told = ("--check", "gradients", "--check", "filters", "--check", "speed", "--step-ms", "1000")
    code, out, err = command("doctor", "search.toml", "--json", "--filters", "filters.png", *told)
    assert code == 0, err
    found = json.loads(out)
    assert [finding["check"] for finding in found["findings"]] == ["gradients", "filters", "speed"]
    assert found["verdict"].startswith("healthy")
    assert "ms already" in found["smaller"]
    assert (tmp_path / "filters.png").read_bytes().startswith(b"\x89PNG")
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()


def test_the_quicker_network_is_in_the_space_and_as_large_as_the_time_allows():
    experiment = small()
    case = case_of_file(experiment)
    first = experiment.searcher(experiment.sieve).ask(History(), random.Random("0/0"))
    assert case.architecture == first.architecture
    dearest = max((one for _, one in walk(experiment.sieve)), key=lambda one: one.cost.macs)
    case = type(case)(dearest, case.recipe, case.seed, case.experiment, case.data)
    half = smaller(case, step_ms=10.0, wanted_ms=5.0)
    fitting = [one.cost.macs for _, one in walk(experiment.sieve) if one.cost.macs <= dearest.cost.macs // 2]
    assert half.cost.macs == max(fitting)
    assert experiment.sieve.allows(half)
    assert smaller(case, step_ms=10.0, wanted_ms=1e-6) is None


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("none.toml",), "there is no search file none.toml"),
        (("search.toml", "--check", "gradient"), "unknown check 'gradient'; did you mean 'gradients'"),
        (("search.toml", "--step-ms", "-1"), "--step-ms must be a number of milliseconds above 0, but got -1"),
    ],
)
def test_bad_input_is_one_clear_error(command, tmp_path, asked, said):
    (tmp_path / "search.toml").write_text(FILE)
    code, out, err = command("doctor", *asked)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
