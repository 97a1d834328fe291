"""Networks at image sizes that the table lacks: measured once, as built, and only those that may fit."""

import json
import subprocess
import sys

import pytest

import archsieve as av
from archsieve.models.networks.build import build
from archsieve.search.experiment.experiment import experiment
from archsieve.search.experiment.other_sizes import costs_of
from archsieve.search.experiment.search_file import parse
from archsieve.spaces.networks.other_sizes import CostFile
from archsieve.spaces.networks.table import SizeCosts, network_table

CONV, VIT, FIXED = "timm:test_mambaout", "timm:test_vit2", "torchvision:vit_b_16"
SIZE = 112  # pixels


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Return a cache folder of the test; nothing is measured before."""
    assert all(SIZE not in network_table()[name].costs for name in (CONV, VIT, FIXED))
    monkeypatch.setenv("ARCHSIEVE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_network_at_another_size_has_the_cost_of_the_built_network():
    space = av.networks_space([CONV, VIT], input_shape=(3, 40, 40), classes=6, image_size=[SIZE, 160])
    costs = {(one.blocks[0].name, one.blocks[0].size): one for one in av.sample(space, n=40)}
    assert set(costs) == {(name, size) for name in (CONV, VIT) for size in (SIZE, 160)}
    for architecture in costs.values():
        module = build(architecture, device="meta")
        assert sum(parameter.numel() for parameter in module.parameters()) == architecture.cost.params
        profile = av.profile(architecture)
        assert (profile.macs, profile.activations) == (architecture.cost.macs, architecture.cost.activations)
    # the position embeddings of a transformer depend on the size
    assert costs[VIT, SIZE].cost.params < costs[VIT, 160].cost.params
    assert costs[CONV, SIZE].cost.params == costs[CONV, 160].cost.params


def test_the_command_measures_what_may_fit_once_and_then_without_torch(line, cache):
    asked = ("space", "timm:test_*", "--image-size", str(SIZE), "--max-params", "600k", "--json")
    code, out, progress = line(*asked)
    assert code == 0
    found = json.loads(out)
    rows = {row["name"]: row for row in found["networks"]}
    assert {CONV, VIT} <= set(rows)
    assert all(row["image_size"] == SIZE and row["params"] <= 600_000 for row in rows.values())
    (file,) = (cache / "network_costs").iterdir()
    measured = {name for name, _, _ in json.loads(file.read_bytes().partition(b"\n")[2])["measured"]}
    small = [network for network in network_table().values() if network.name.startswith("timm:test_")]
    near = {one.name for one in small if one.costs[one.size].params + 1000 * (one.features + 1) <= 630_000}
    assert measured == near
    assert len(near) < len(small)
    assert f"{len(near)} networks" in progress
    code, _, message = line("space", "timm:test_*", "--image-size", str(SIZE), "--max-params", "1k")
    assert code == 2
    assert f"none of {len(small)} " in message
    before = file.stat().st_mtime_ns
    script = (
        "import sys; from archsieve.search.cli.main import main; sys.argv = ['archsieve', *sys.argv[1:]]\n"
        "try: main()\nfinally: print('torch' in sys.modules, file=sys.stderr)"
    )
    again = subprocess.run([sys.executable, "-c", script, *asked], capture_output=True, text=True, check=True)
    assert again.stdout == out
    assert again.stderr.strip().splitlines()[-1] == "False"
    assert "measuring" not in again.stderr
    assert file.stat().st_mtime_ns == before
    # what was measured for a larger budget does not change the space of a smaller one
    counts = [
        av.ConstrainedSpace(av.networks_space("timm:test_*", image_size=SIZE, budget={"params": limit})).size
        for limit in ("600k", "300k", "600k")
    ]
    assert counts[0] == counts[2] > counts[1]


def test_a_damaged_file_of_costs_is_measured_again(cache):
    pairs = [(CONV, SIZE)]
    first = costs_of(pairs)
    assert isinstance(first[CONV, SIZE], SizeCosts)
    (file,) = (cache / "network_costs").iterdir()
    content = file.read_bytes()
    other = content.replace(str(first[CONV, SIZE].params).encode(), b"1")
    for damaged in (b"", content[:-5], other, b"[]", b"\xff\n\xff"):
        assert damaged != content
        file.write_bytes(damaged)
        assert costs_of(pairs) == first
        assert file.read_bytes() == content
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    # a file of other versions, under this name
    stranger = CostFile(file, "timm-0")
    stranger.add({(CONV, SIZE): "not at all"})
    assert costs_of(pairs) == first


def test_a_network_that_cannot_take_the_size_is_refused(line, capsys):
    code, _, message = line("space", FIXED, "--image-size", str(SIZE + 1))
    assert code == 2
    assert FIXED in message
    assert f"{SIZE + 1} pixels" in message
    assert str(network_table()[FIXED].size) in message
    assert "Traceback" not in message
    # of several networks it is left out and named
    space = av.networks_space([CONV, FIXED], image_size=SIZE + 1)
    assert {one.blocks[0].name for one in av.sample(space, n=5)} == {CONV}
    assert FIXED in capsys.readouterr().err


def test_a_search_file_measures_within_its_budget():
    networks = {"networks": [CONV, VIT, FIXED], "image_size": SIZE}
    tables = {"data": {"name": "digits"}, "space": networks, "budget": {"params": "1M"}}
    found = experiment(parse(tables))
    names = {one.blocks[0].name for one in av.sample(found.constrained, n=20)}
    assert names == {CONV, VIT}
    assert found.constrained.size == 2
    # archsieve space FILE --max-params: a larger budget has more networks
    assert av.ConstrainedSpace(found.space_within(av.Budget())).size == 3
    with pytest.raises(av.errors.BudgetError, match=CONV):  # the smallest network is measured to say so
        experiment(parse({**tables, "budget": {"params": "1k"}}))


def test_measuring_needs_the_package_of_the_network():
    with pytest.raises(ValueError, match=r"no-such-package.*install"):
        costs_of([("no-such-package:network", SIZE)])
