"""Recorded architectures: every block and layer of this package is known."""

from archsieve.spaces.architectures.architecture import Architecture
from archsieve.spaces.architectures.recorded import unknown_kinds
from archsieve.spaces.blocks.channel_layers import CHANNEL_LAYERS
from archsieve.spaces.blocks.layers import LAYERS
from archsieve.spaces.blocks.standard import BLOCKS, Conv


def test_only_kinds_that_are_not_registered_are_unknown():
    known = [{"kind": kind} for kind in (*BLOCKS, *LAYERS, *CHANNEL_LAYERS)]
    assert unknown_kinds({"blocks": known}) == set()
    assert unknown_kinds({"blocks": [*known, {"kind": "evil", "inner": [{"kind": "worse"}]}]}) == {"evil", "worse"}
    assert unknown_kinds(Architecture((1, 8, 8), (Conv(8),), 10).to_json()) == set()
