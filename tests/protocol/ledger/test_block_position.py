"""Where a block may stand: height, parent, epoch, view and time (C2, C8), and that a bad one leaves no trace."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from protocol.blocks import Block, BlockHeader, compute_operations_root
from protocol.codec import encode
from protocol.errors import InvalidBlock
from protocol.ledger.transition import apply_block
from protocol.operations import Bond
from protocol.units import Epoch, Height, Millis, Stake, View
from tests.founders import make_founders
from tests.helpers import SCHEMA, LedgerBuilder, make_digest

Change = Callable[[BlockHeader], BlockHeader]


def test_a_child_of_the_tip_is_applied() -> None:
    builder = LedgerBuilder(make_founders(4))
    builder.add_block(view=View(9), time_ms=Millis(builder.state.time_ms + 1))
    assert (builder.state.height, builder.state.view) == (1, 9)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda h: replace(h, height=Height(h.height + 1)), "next height is 2", id="gap"),
        pytest.param(lambda h: replace(h, height=Height(h.height - 1)), "next height is 2", id="again"),
        pytest.param(lambda h: replace(h, parent_hash=make_digest("x")), "parent is not", id="parent"),
        pytest.param(lambda h: replace(h, parent_view=View(0)), "parent is not", id="parent view"),
        pytest.param(lambda h: replace(h, epoch=Epoch(1)), "of epoch 1", id="epoch"),
        pytest.param(lambda h: replace(h, view=View(1)), "view 1 is not above", id="view"),
        pytest.param(lambda h: replace(h, time_ms=Millis(h.time_ms - 100)), "is not above its parent's", id="time"),
        pytest.param(lambda h: replace(h, time_ms=Millis(2**62 + 1)), "is above 46116860", id="beyond all time"),
        pytest.param(lambda h: replace(h, operations_root=make_digest("x")), "not those of its header", id="root"),
    ],
)
def test_a_block_elsewhere_is_refused_and_the_state_stays(change: Change, reason: str) -> None:
    builder = LedgerBuilder(make_founders(4))
    builder.add_block()
    block = builder.build_block()
    before = encode(builder.state)
    with pytest.raises(InvalidBlock, match=reason):
        apply_block(builder.parameters, SCHEMA, builder.state, replace(block, header=change(block.header)))
    assert encode(builder.state) == before


def test_a_block_whose_last_operation_does_not_decode_leaves_no_trace_of_the_first() -> None:
    builder = LedgerBuilder(make_founders(4))
    operations = (builder.sign(builder.founders[0].member, Bond(amount=Stake(1))), b"\xc1")
    block = builder.build_block()
    header = replace(block.header, operations_root=compute_operations_root(operations))
    before = encode(builder.state)
    with pytest.raises(InvalidBlock, match="does not decode"):
        apply_block(builder.parameters, SCHEMA, builder.state, replace(block, header=header, operations=operations))
    assert encode(builder.state) == before


def test_the_same_block_on_the_same_state_gives_the_same_root() -> None:
    builder = LedgerBuilder(make_founders(4))
    block: Block = builder.build_block()
    first = apply_block(builder.parameters, SCHEMA, builder.state, block)
    assert apply_block(builder.parameters, SCHEMA, builder.state, block) == first
