"""Votes and certificates: what their signatures cover, and when a certificate is one (C5, C6, C7, C15)."""

from dataclasses import replace

import pytest

from protocol.errors import InvalidMessage
from protocol.units import Digest, Epoch, MemberId, Signature, View
from protocol.votes import (
    Certificate,
    Vote,
    VoteKind,
    build_certificate,
    check_certificate,
    check_vote,
    compute_vote_message,
    sign_vote,
    split_certificate,
)
from tests.founders import make_founders
from tests.helpers import LedgerBuilder
from tests.values import make_digest

BUILDER = LedgerBuilder(make_founders(4))
CHAIN, VALIDATORS = BUILDER.chain_id, BUILDER.validators
BLOCK = make_digest("block")


def vote(
    index: int,
    kind: VoteKind = VoteKind.NOTARIZE,
    *,
    view: int = 5,
    block: Digest | None = BLOCK,
    chain: Digest = CHAIN,
) -> Vote:
    key = BUILDER.founders[index].signing_key
    block_hash = None if kind is VoteKind.NULLIFY else block
    return sign_vote(chain, key, epoch=Epoch(0), kind=kind, view=View(view), block_hash=block_hash)


def certificate(*indexes: int, kind: VoteKind = VoteKind.NOTARIZE) -> Certificate:
    return build_certificate(VALIDATORS, tuple(vote(index, kind) for index in indexes))


@pytest.mark.parametrize("kind", VoteKind)
def test_a_vote_verifies(kind: VoteKind) -> None:
    check_vote(CHAIN, vote(0, kind))


def test_no_two_votes_have_the_same_bytes_to_sign() -> None:
    """C15: sign bytes name epoch, kind, view and hash."""
    messages = {
        compute_vote_message(Epoch(epoch), kind, View(view), block_hash)
        for epoch in range(2)
        for kind in VoteKind
        for view in range(2)
        for block_hash in (None, BLOCK, make_digest("other block"))
    }
    assert len(messages) == 2 * 3 * 2 * 3


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(replace(vote(0), epoch=Epoch(1)), id="epoch"),
        pytest.param(replace(vote(0), kind=VoteKind.FINALIZE), id="kind"),
        pytest.param(replace(vote(0), view=View(6)), id="view"),
        pytest.param(replace(vote(0), block_hash=make_digest("other block")), id="hash"),
        pytest.param(replace(vote(0), member=BUILDER.founders[1].member), id="member"),
        pytest.param(replace(vote(0), signature=Signature(bytes(64))), id="signature"),
        pytest.param(vote(0, chain=make_digest("other chain")), id="chain"),
    ],
)
def test_a_vote_with_anything_changed_is_refused(changed: Vote) -> None:
    """C15, W2."""
    with pytest.raises(InvalidMessage, match="wrong vote signature"):
        check_vote(CHAIN, changed)


@pytest.mark.parametrize(
    ("kind", "block_hash"),
    [(VoteKind.NULLIFY, BLOCK), (VoteKind.NOTARIZE, None), (VoteKind.FINALIZE, None)],
)
def test_a_hash_that_does_not_fit_the_kind_is_refused_though_signed(kind: VoteKind, block_hash: Digest | None) -> None:
    key = BUILDER.founders[0].signing_key
    signed = sign_vote(CHAIN, key, epoch=Epoch(0), kind=kind, view=View(5), block_hash=block_hash)
    with pytest.raises(InvalidMessage, match="block hash"):
        check_vote(CHAIN, signed)


@pytest.mark.parametrize("indexes", [(0, 1, 2), (3, 1, 0), (0, 1, 2, 3)])
@pytest.mark.parametrize("kind", VoteKind)
def test_a_quorum_of_votes_makes_a_certificate_and_comes_out_again(indexes: tuple[int, ...], kind: VoteKind) -> None:
    """C5, C6, C7."""
    votes = tuple(vote(index, kind) for index in indexes)
    built = build_certificate(VALIDATORS, votes)
    check_certificate(CHAIN, VALIDATORS, built)
    assert split_certificate(VALIDATORS, built) == tuple(sorted(votes, key=lambda entry: entry.member))


def test_the_order_of_votes_does_not_matter() -> None:
    assert certificate(0, 1, 2) == certificate(2, 0, 1)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        pytest.param(certificate(0, 1), "no quorum", id="exactly half of the weight"),
        pytest.param(replace(certificate(0, 1, 2), epoch=Epoch(1)), "of epoch 1, not 0", id="another epoch"),
        pytest.param(replace(certificate(0, 1, 2), view=View(6)), "wrong vote signature", id="another view"),
        pytest.param(
            replace(certificate(0, 1, 2), block_hash=make_digest("other block")),
            "wrong vote signature",
            id="another block",
        ),
        pytest.param(replace(certificate(0, 1, 2), kind=VoteKind.FINALIZE), "wrong vote signature", id="another kind"),
        pytest.param(
            replace(certificate(0, 1, 2), kind=VoteKind.NULLIFY), "block hash", id="a hash in a nullification"
        ),
        pytest.param(replace(certificate(0, 1, 2), block_hash=None), "block hash", id="no hash in a notarization"),
        pytest.param(
            replace(certificate(0, 1, 2), signers=b"\x0b"), "wrong vote signature", id="somebody else's signature"
        ),
        pytest.param(
            replace(certificate(0, 1, 2), signers=b"\x0f"), "not one signature per signer", id="a signer too many"
        ),
        pytest.param(
            replace(certificate(0, 1, 2), signers=b"\x03"), "not one signature per signer", id="a signer too few"
        ),
        pytest.param(replace(certificate(0, 1, 2), signers=b"\x17"), "do not exist", id="a fifth validator of four"),
        pytest.param(replace(certificate(0, 1, 2), signers=b"\x07\x00"), "does not fit", id="a bitmap too long"),
        pytest.param(replace(certificate(0, 1, 2), signers=b""), "does not fit", id="no bitmap"),
        pytest.param(
            replace(certificate(0, 1, 2), signatures=(vote(0).signature,) * 3),
            "wrong vote signature",
            id="one signature thrice",
        ),
        pytest.param(
            replace(certificate(0, 1, 2), signatures=certificate(0, 1, 2).signatures[::-1]),
            "wrong vote signature",
            id="signatures in another order",
        ),
    ],
)
def test_what_is_no_certificate_is_refused(wrong: Certificate, error: str) -> None:
    """C5, C6, C7: each case has one mistake."""
    with pytest.raises(InvalidMessage, match=error):
        check_certificate(CHAIN, VALIDATORS, wrong)


def test_a_certificate_of_another_chain_is_refused() -> None:
    """W2."""
    with pytest.raises(InvalidMessage, match="wrong vote signature"):
        check_certificate(make_digest("other chain"), VALIDATORS, certificate(0, 1, 2))


def test_a_strangers_vote_is_no_part_of_a_certificate() -> None:
    stranger = replace(vote(0), member=MemberId(bytes(32)))
    with pytest.raises(InvalidMessage, match="no validator"):
        build_certificate(VALIDATORS, (vote(1), vote(2), stranger))
