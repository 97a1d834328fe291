"""``archsieve doctor`` on the command line, and the faster network that it proposes."""

import json
import random
from dataclasses import replace

import pytest

from archsieve.results.database.records import History
from archsieve.search.post.diagnose import smaller_network, target_of_file
from archsieve.spaces.constrained.constrained_space import ConstrainedSpace
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


def test_the_first_proposal_of_a_search_file_is_diagnosed(line, tmp_path):
    (tmp_path / "search.toml").write_text(FILE)
    options = ("--check", "gradients", "--check", "filters", "--check", "speed", "--step-ms", "1000")
    code, out, err = line("doctor", "search.toml", "--json", "--filters", "filters.png", *options)
    assert code == 0, err
    report = json.loads(out)
    assert [finding["check"] for finding in report["findings"]] == ["gradients", "filters", "speed"]
    assert report["summary"].startswith("healthy")
    assert " ms " in report["smaller_network"]  # the diagnosed network is fast enough: its time, and no other network
    assert "params" not in report["smaller_network"]
    assert (tmp_path / "filters.png").read_bytes().startswith(b"\x89PNG")
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()


def test_the_faster_network_is_the_largest_of_the_space_that_is_fast_enough():
    experiment = small()
    target = target_of_file(experiment)
    first = experiment.searcher(experiment.constrained).ask(History(), random.Random("0/0"))
    assert target.architecture == first.architecture
    largest = max((one for _, one in walk(experiment.constrained)), key=lambda one: one.cost.macs)
    target = type(target)(largest, target.recipe, target.seed, target.experiment, target.data)
    half = smaller_network(target, step_ms=10.0, max_step_ms=5.0)
    fast_enough = [one.cost.macs for _, one in walk(experiment.constrained) if one.cost.macs <= largest.cost.macs // 2]
    assert half.cost.macs == max(fast_enough)
    assert experiment.constrained.allows(half)
    assert smaller_network(target, step_ms=10.0, max_step_ms=1e-6) is None


class LayerLatency:
    """A latency model: one millisecond for a network, and a tenth for each layer."""

    base_latency_ns = 1_000_000

    def nanoseconds(self, layers, shape):
        return 100_000 * len(layers)


def test_the_faster_network_keeps_the_other_limits_of_the_budget():
    experiment = small(budget={"min_params": "1k"})
    target = target_of_file(experiment)
    original = experiment.constrained
    budget = replace(original.budget, latency_ms=1.7)
    limited = ConstrainedSpace(original.space, budget, original.batch_size, LayerLatency())
    vars(experiment)["constrained"] = limited  # as a run has it after it has calibrated the latency
    smaller = smaller_network(target, step_ms=10.0, max_step_ms=9.0)
    assert smaller.cost.params >= 1_000
    assert limited.latency_ns(smaller) <= 1_700_000 < max(limited.latency_ns(one) for _, one in walk(original))
    assert smaller_network(target, step_ms=1e9, max_step_ms=1.0) is None  # below the lower limit


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (("none.toml",), ("none.toml",)),
        (("search.toml", "--check", "gradient"), ("'gradient'", "did you mean 'gradients'")),
        (("search.toml", "--step-ms", "-1"), ("--step-ms", "-1")),
    ],
)
def test_bad_input_is_one_clear_error(line, tmp_path, arguments, facts):
    (tmp_path / "search.toml").write_text(FILE)
    code, out, err = line("doctor", *arguments)
    assert (code, out) == (2, "")
    assert [fact for fact in facts if fact not in err] == [], err
    assert "Traceback" not in err
