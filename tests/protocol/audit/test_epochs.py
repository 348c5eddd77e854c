"""An audit follows the members from epoch to epoch (C13): each epoch's blocks are certified by its own validators."""

from dataclasses import replace
from functools import cache

from protocol.operations import Leave
from protocol.parameters import Parameters
from protocol.votes import check_certificate
from tests.founders import make_founders
from tests.helpers import LedgerBuilder, certify
from tests.protocol.audit.chains import expect_failure, verify, write

EPOCH_BLOCKS = 3


@cache
def build_long_chain() -> LedgerBuilder:
    """Return a chain of three epochs, whose second one has other validators than its first."""
    builder = LedgerBuilder(make_founders(5), Parameters(epoch_blocks=EPOCH_BLOCKS))
    builder.add_payloads((builder.founders[0].member, Leave()))
    while len(builder.blocks) < 2 * EPOCH_BLOCKS + 2:
        builder.add_block()
    assert [len(builder.epochs[epoch].validators) for epoch in sorted(builder.epochs)] == [5, 4, 4]
    return builder


def test_a_chain_of_several_epochs_is_good() -> None:
    builder = build_long_chain()
    report = verify(write(builder.genesis, builder.export()))
    assert (report.height, report.certificate_count) == (8, 3)
    everything = verify(write(builder.genesis, builder.export(certified=lambda _: True)))
    assert everything.certificate_count == 8


def test_the_last_block_of_an_epoch_must_be_certified() -> None:
    """C13: otherwise its validators could be forged by whoever led its blocks."""
    builder = build_long_chain()
    blocks = list(builder.export())
    blocks[EPOCH_BLOCKS - 1] = replace(blocks[EPOCH_BLOCKS - 1], certificate=None)
    failure = expect_failure(write(builder.genesis, blocks))
    assert (failure.height, failure.what) == (3, "the last block of epoch 0 has no finalization certificate")


def test_members_that_have_left_certify_nothing() -> None:
    """C13: with the validators of the epoch before, who is gone could still finalize blocks."""
    builder = build_long_chain()
    blocks = list(builder.export())
    header = blocks[-1].block.header
    old = builder.epochs[min(builder.epochs)]
    certificate = certify(builder.chain_id, old, builder.founders, header)
    check_certificate(builder.chain_id, replace(old, epoch=header.epoch), certificate)
    blocks[-1] = replace(blocks[-1], certificate=certificate)
    failure = expect_failure(write(builder.genesis, blocks))
    assert failure.height == 8
    assert "bitmap" in failure.what


def test_the_leaders_of_an_epoch_are_its_own() -> None:
    """C13: drawn from its seed and weights."""
    builder = build_long_chain()
    for built in builder.blocks:
        header = built.block.header
        assert header.leader == builder.epochs[header.epoch].compute_leader(header.view)
