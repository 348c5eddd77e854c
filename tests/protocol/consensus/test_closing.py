"""The end of an epoch (C13): its last block has no child, and becomes final by a certificate of its own."""

from dataclasses import replace

import pytest

from protocol.blocks import Block
from protocol.consensus.checks import check_proposal
from protocol.errors import InvalidMessage
from protocol.interface import FinalizedBlock
from protocol.units import Height, View
from protocol.votes import Certificate, VoteKind, build_certificate
from tests.protocol.consensus.rig import (
    FINALIZE,
    LEDGER,
    NOTARIZE,
    NULLIFY,
    PARAMETERS,
    VALIDATORS,
    Application,
    Rig,
    get_follower,
    get_leader,
    get_proposals,
    get_sent_votes,
    hash_of,
    make_block,
    make_certificate,
    make_chain,
    make_proposal,
    make_vote,
    tip_of,
)

SHORT = replace(PARAMETERS, epoch_blocks=2)
HALF_MS = PARAMETERS.timeout_view_ms // 2
FIRST, LAST = make_chain(2)


def make_closing(kind: VoteKind, view: int, block: Block) -> Certificate:
    """Return a certificate for a block of a lower view."""
    return build_certificate(VALIDATORS, tuple(make_vote(keys, kind, view, block) for keys in LEDGER.founders[:3]))


def make_waiting_rig(*, has_operations: bool = False) -> Rig:
    """Return the leader of view 3, for whom the epoch's last block is notarized in view 2 and not final."""
    rig = Rig(get_leader(3), parameters=SHORT, application=Application(has_operations=has_operations))
    rig.start(0)
    rig.tell(make_proposal(FIRST))
    rig.tell_certificates(make_certificate(NOTARIZE, 1, FIRST))
    rig.tell(make_proposal(LAST, make_certificate(NOTARIZE, 1, FIRST)))
    rig.tell_certificates(make_certificate(NOTARIZE, 2, LAST))
    assert rig.consensus.view == 3
    return rig


def test_nobody_builds_on_the_last_block_of_an_epoch() -> None:
    """C13: not even with something to order, and for as long as the block is not final."""
    rig = make_waiting_rig(has_operations=True)
    assert [get_proposals(rig.step(delay_ms)) for delay_ms in (200, 100 + HALF_MS, 1_000, 5_000)] == [[]] * 4


def test_a_block_after_the_last_one_is_refused() -> None:
    """C13."""
    rig = make_waiting_rig()
    child = make_proposal(make_block(3, tip_of(LAST)), make_certificate(NOTARIZE, 2, LAST))
    with pytest.raises(InvalidMessage, match="after the last one of epoch 0"):
        check_proposal(rig.consensus.config, rig.consensus.tree, child)
    ordinary = replace(rig.consensus.config, parameters=replace(SHORT, epoch_blocks=3))
    check_proposal(ordinary, rig.consensus.tree, child)
    before = rig.get_voted()
    rig.tell(child)
    assert rig.get_voted() == before


def test_a_later_view_votes_for_the_last_block_again() -> None:
    """C13: once half of its timeout has passed, without a proposal, whoever leads it."""
    for keys in (get_leader(3), get_follower(3)):
        rig = make_waiting_rig() if keys is get_leader(3) else make_follower()
        rig.step(100)
        assert get_sent_votes(rig.step(99 + HALF_MS)) == []
        votes = get_sent_votes(rig.step(100 + HALF_MS))
        assert [(vote.kind, vote.view, vote.block_hash) for vote in votes] == [(NOTARIZE, 3, hash_of(LAST))]
        assert get_sent_votes(rig.step(101 + HALF_MS)) == []


def make_follower() -> Rig:
    rig = Rig(get_follower(3), parameters=SHORT)
    rig.start(0)
    rig.tell(make_proposal(FIRST), make_proposal(LAST, make_certificate(NOTARIZE, 1, FIRST)))
    rig.tell_certificates(make_certificate(NOTARIZE, 2, LAST))
    return rig


def test_the_last_block_becomes_final_by_a_later_view() -> None:
    """C13, C7: and both blocks are delivered, the last one with that certificate."""
    rig = make_waiting_rig()
    rig.step(100 + HALF_MS)
    rig.tell_certificates(make_closing(NOTARIZE, 3, LAST), delay_ms=700)
    assert rig.get_voted()[-2:] == [(NOTARIZE, 3), (FINALIZE, 3)]
    final = make_closing(FINALIZE, 3, LAST)
    rig.tell_certificates(final, delay_ms=800)
    assert rig.final == [FinalizedBlock(block=FIRST, certificate=None), FinalizedBlock(block=LAST, certificate=final)]


def test_a_view_that_was_given_up_does_not_close_the_epoch() -> None:
    """C3, C13: one key, one view, no two votes that an honest member never casts; the next view goes on trying."""
    rig = make_waiting_rig()
    rig.consensus._own.cast(NULLIFY, View(3), None)
    rig.step(100)
    assert get_sent_votes(rig.step(100 + HALF_MS)) == []
    rig.tell_certificates(make_certificate(NULLIFY, 3), delay_ms=900)
    rig.step(900)
    voted = [(vote.kind, int(vote.view)) for vote in get_sent_votes(rig.step(900 + 2 * HALF_MS))]
    assert voted == [(NOTARIZE, 4)]


def test_votes_for_closing_survive_a_restart() -> None:
    """C10, C13: they are in the journal before they leave, with the block."""
    rig = make_waiting_rig()
    rig.step(100 + HALF_MS)
    again = rig.restart()
    again.start(1_000)
    assert again.consensus.view == 3
    assert hash_of(LAST) in again.consensus.tree.blocks
    assert get_sent_votes(again.step(1_000 + HALF_MS)) == []
    again.tell_certificates(make_closing(FINALIZE, 3, LAST), delay_ms=1_900)
    assert again.get_final_heights() == [1, 2]


def fetch(rig: Rig, certificate: Certificate, *, blocks: tuple[Block, ...] = (FIRST, LAST)) -> None:
    entries = [FinalizedBlock(block=block, certificate=None) for block in blocks[:-1]]
    rig.fetch(*entries, FinalizedBlock(block=blocks[-1], certificate=certificate))


def test_a_fetched_last_block_may_be_final_by_a_later_view() -> None:
    """C13, C14."""
    rig = Rig(get_follower(3), parameters=SHORT)
    fetch(rig, make_closing(FINALIZE, 7, LAST))
    assert rig.get_final_heights() == [1, 2]


@pytest.mark.parametrize(
    ("certificate", "blocks", "error"),
    [
        pytest.param(make_closing(FINALIZE, 2, FIRST), (FIRST,), "is of view 2", id="of a block with children"),
        pytest.param(make_closing(FINALIZE, 1, LAST), (FIRST, LAST), "is of view 1", id="of a view below"),
        pytest.param(make_closing(NOTARIZE, 3, LAST), (FIRST, LAST), "not FINALIZE", id="no finalization"),
    ],
)
def test_no_other_view_finalizes_a_fetched_block(
    certificate: Certificate, blocks: tuple[Block, ...], error: str
) -> None:
    """C7, C13."""
    rig = Rig(get_follower(3), parameters=SHORT)
    with pytest.raises(InvalidMessage, match=error):
        fetch(rig, certificate, blocks=blocks)
    assert rig.get_final_heights() == []


def test_blocks_beyond_the_epoch_are_not_fetched_into_it() -> None:
    """C13: their certificate is for other members to give."""
    beyond = make_block(3, tip_of(LAST))
    rig = Rig(get_follower(3), parameters=SHORT)
    with pytest.raises(InvalidMessage, match="fetched block 3 is not of epoch 0"):
        fetch(rig, make_certificate(FINALIZE, 3, beyond), blocks=(FIRST, LAST, beyond))
    assert beyond.header.height == Height(3)
