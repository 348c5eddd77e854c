"""C14: fetched blocks, authenticated by one certificate; and what is wrong with all others."""

from dataclasses import replace

import pytest

from protocol.errors import InvalidMessage
from protocol.interface import FetchBlocks, FinalizedBlock
from protocol.units import Height, Millis, Signature
from tests.protocol.consensus.rig import (
    FINALIZE,
    NOTARIZE,
    Rig,
    at,
    get_follower,
    make_block,
    make_certificate,
    make_chain,
    make_final_chain,
    make_proposal,
    tip_of,
)

BLOCKS = make_chain(3)
CHAIN = make_final_chain(*BLOCKS)


def make_rig() -> Rig:
    rig = Rig(get_follower(1, 2, 3))
    rig.start(0)
    return rig


def test_a_starting_node_asks_for_what_follows_its_tip() -> None:
    rig = Rig(get_follower(1, 2, 3))
    assert FetchBlocks(from_height=Height(1), hint=None) in rig.start(0)


def test_one_certificate_authenticates_all_blocks_before_it() -> None:
    rig = make_rig()
    rig.fetch(*CHAIN)
    assert rig.get_final_heights() == [1, 2, 3]
    assert rig.consensus.tree.tip == tip_of(BLOCKS[2])
    assert rig.consensus.view == 4


def test_blocks_that_are_known_already_are_passed_over() -> None:
    rig = make_rig()
    rig.fetch(*make_final_chain(BLOCKS[0]))
    rig.fetch(*CHAIN)
    rig.fetch(*CHAIN)
    assert rig.get_final_heights() == [1, 2, 3]


def test_a_certificate_in_the_middle_is_kept_with_its_block() -> None:
    rig = make_rig()
    middle = FinalizedBlock(block=BLOCKS[1], certificate=make_certificate(FINALIZE, 2, BLOCKS[1]))
    rig.fetch(CHAIN[0], middle, CHAIN[2])
    assert [final.certificate is not None for final in rig.final] == [False, True, True]


def test_blocks_fetched_above_a_finalization_without_bodies_complete_it() -> None:
    """C7: the certificate came first."""
    rig = make_rig()
    certificate = CHAIN[2].certificate
    assert certificate is not None
    rig.tell_certificates(certificate)
    assert rig.get_final_heights() == []
    rig.fetch(*CHAIN)
    assert rig.get_final_heights() == [1, 2, 3]


def test_old_times_are_not_checked_again() -> None:
    """C8: on replay the clock of today does not count."""
    rig = make_rig()
    rig.fetch(*CHAIN, delay_ms=10**9)
    assert rig.get_final_heights() == [1, 2, 3]


LAST = CHAIN[2].certificate
assert LAST is not None
FORK = make_block(2, tip_of(BLOCKS[0]), time_ms=at(5_000))


def with_last(**changes: object) -> tuple[FinalizedBlock, ...]:
    return (*CHAIN[:2], replace(CHAIN[2], **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("blocks", "error"),
    [
        pytest.param(CHAIN[1:], "does not follow height 0", id="a gap at the start"),
        pytest.param((CHAIN[0], CHAIN[2]), "does not follow height 1", id="a gap in the middle"),
        pytest.param(
            (CHAIN[0], FinalizedBlock(block=FORK, certificate=None), CHAIN[2]), "does not follow height 2", id="a fork"
        ),
        pytest.param(CHAIN[:2], "without a finalization", id="no certificate"),
        pytest.param(
            with_last(certificate=make_certificate(FINALIZE, 2, BLOCKS[1])), "is of another block", id="another's"
        ),
        pytest.param(
            with_last(certificate=make_certificate(NOTARIZE, 3, BLOCKS[2])),
            "is for NOTARIZE, not FINALIZE",
            id="a notarization",
        ),
        pytest.param(
            with_last(certificate=make_certificate(FINALIZE, 3, BLOCKS[2], count=2)), "no quorum", id="no quorum"
        ),
        pytest.param(
            with_last(certificate=replace(LAST, signatures=(Signature(bytes(64)), *LAST.signatures[1:]))),
            "wrong vote signature",
            id="a made-up signature in the certificate",
        ),
        pytest.param(
            (replace(CHAIN[0], certificate=make_certificate(FINALIZE, 1, BLOCKS[0], count=2)), *CHAIN[1:]),
            "no quorum",
            id="a wrong certificate in the middle",
        ),
        pytest.param(
            (replace(CHAIN[0], block=replace(BLOCKS[0], operations=(b"other",))), *CHAIN[1:]),
            "operations of fetched block 1",
            id="other operations",
        ),
        pytest.param(
            (replace(CHAIN[0], block=replace(BLOCKS[0], signature=Signature(bytes(64)))), *CHAIN[1:]),
            "wrong proposal signature",
            id="not the leader's signature",
        ),
        pytest.param(
            (
                replace(CHAIN[0], block=make_block(1, time_ms=Millis(BLOCKS[0].header.time_ms + 1))),
                *CHAIN[1:],
            ),
            "does not follow height 1",
            id="another first block",
        ),
    ],
)
def test_what_is_no_chain_on_the_tip_changes_nothing(blocks: tuple[FinalizedBlock, ...], error: str) -> None:
    rig = make_rig()
    with pytest.raises(InvalidMessage, match=error):
        rig.fetch(*blocks)
    assert (rig.get_final_heights(), rig.consensus.view, rig.consensus.tree.blocks) == ([], 1, {})
    rig.fetch(*CHAIN)
    assert rig.get_final_heights() == [1, 2, 3]


def test_no_blocks_are_no_news() -> None:
    rig = make_rig()
    assert rig.fetch() == []


def test_a_node_that_caught_up_votes_in_the_next_view() -> None:
    rig = make_rig()
    rig.fetch(*CHAIN)
    rig.tell(make_proposal(make_block(4, tip_of(BLOCKS[2])), LAST), delay_ms=500)
    assert rig.get_voted() == [(NOTARIZE, 4)]
