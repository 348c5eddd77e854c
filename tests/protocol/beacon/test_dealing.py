"""Deals, complaints and what they come to: joint Feldman among four, with every way to cheat (B1, B4)."""

from dataclasses import replace
from functools import cache

import pytest

from protocol.beacon.dealing import (
    Ceremony,
    build_deal,
    build_group_key,
    check_deal,
    derive_share,
    find_complaints,
    is_complaint_right,
)
from protocol.beacon.group_key import check_proof, split_points
from protocol.blocks import BeaconProof
from protocol.bls import check_partial, check_share, combine, compute_ephemeral_key, compute_share_key, sign_partial
from protocol.bls.points import decode_public_key, encode_public_key
from protocol.bls.scalars import derive_scalar
from protocol.crypto import Domain
from protocol.errors import InvalidMessage
from protocol.operations import PostDeal
from protocol.units import BlsProof, BlsPublicKey, Epoch, MemberId, Round, SharedPoint
from tests.founders import make_founders
from tests.helpers import make_digest

FOUNDERS = sorted(make_founders(4), key=lambda keys: keys.member)
CEREMONY = Ceremony(
    chain_id=make_digest("chain"),
    epoch=Epoch(3),
    dealers=tuple(keys.member for keys in FOUNDERS),
    bls_keys=tuple(keys.bls_key.public_key for keys in FOUNDERS),
)
ROUND = Round(17)
INFINITY = b"\xc0" + bytes(95)
NO_PROOF = BlsProof(bytes(64))


@cache
def make_deal(index: int) -> PostDeal:
    return build_deal(CEREMONY, FOUNDERS[index].member, make_digest(f"secret {index}"))


def make_deals(*indexes: int) -> list[tuple[MemberId, PostDeal]]:
    return [(FOUNDERS[index].member, make_deal(index)) for index in indexes]


def spoil_share(deal: PostDeal, recipient: int) -> PostDeal:
    """Return a deal with another share for one recipient; its proofs are those of the true one."""
    place = recipient * 32
    changed = bytes([deal.shares[place + 31] ^ 1])
    return replace(deal, shares=deal.shares[: place + 31] + changed + deal.shares[place + 32 :])


def test_a_deal_holds_and_everybody_gets_a_share_that_fits() -> None:
    for index in range(4):
        check_deal(CEREMONY, FOUNDERS[index].member, make_deal(index))
    for keys in FOUNDERS:
        assert find_complaints(CEREMONY, make_deals(0, 1, 2, 3), keys.bls_key) == ()


def test_the_same_secret_deals_the_same() -> None:
    """So a dealer that lost its memory contradicts nothing."""
    assert build_deal(CEREMONY, FOUNDERS[0].member, make_digest("secret 0")) == make_deal(0)
    later = replace(CEREMONY, epoch=Epoch(4))
    assert build_deal(later, FOUNDERS[0].member, make_digest("secret 0")).commitments != make_deal(0).commitments


@pytest.mark.parametrize("signers", [(0, 1, 2), (0, 1, 3), (1, 2, 3)])
def test_any_threshold_of_holders_makes_the_one_output(signers: tuple[int, ...]) -> None:
    key = build_group_key(CEREMONY, make_deals(0, 1, 2, 3))
    assert key is not None and key.threshold == 3
    shares = [derive_share(CEREMONY.chain_id, key, keys.member, keys.bls_key) for keys in FOUNDERS]
    partials = {index: sign_partial(shares[index], ROUND) for index in signers}
    for index, partial in partials.items():
        check_partial(compute_share_key(split_points(key.commitments), index), ROUND, partial)
    signature = combine(partials, key.threshold)
    check_proof((key,), BeaconProof(round=ROUND, key_epoch=Epoch(4), signature=signature))
    everybody = {index: sign_partial(share, ROUND) for index, share in enumerate(shares)}
    assert combine(everybody, key.threshold) == signature


def test_fewer_than_the_threshold_make_nothing() -> None:
    key = build_group_key(CEREMONY, make_deals(0, 1, 2, 3))
    assert key is not None
    shares = [derive_share(CEREMONY.chain_id, key, keys.member, keys.bls_key) for keys in FOUNDERS[:2]]
    partials = {index: sign_partial(share, ROUND) for index, share in enumerate(shares)}
    with pytest.raises(ValueError, match="2 partial signatures, 3 are needed"):
        combine(partials, key.threshold)
    with pytest.raises(InvalidMessage):
        check_proof((key,), BeaconProof(round=ROUND, key_epoch=Epoch(4), signature=combine(partials, 2)))


def test_too_few_deals_make_no_key() -> None:
    assert build_group_key(CEREMONY, make_deals(0, 1)) is None
    assert build_group_key(CEREMONY, make_deals(0, 1, 2)) is not None


@pytest.mark.parametrize("bad", [0, 3])
def test_a_wrong_share_is_complained_of_and_the_complaint_proves_it(bad: int) -> None:
    deals = make_deals(0, 1, 2)
    deals[1] = (deals[1][0], spoil_share(make_deal(1), bad))
    (complaint,) = find_complaints(CEREMONY, deals, FOUNDERS[bad].bls_key)
    assert complaint.dealer == FOUNDERS[1].member
    assert is_complaint_right(CEREMONY, FOUNDERS[bad].member, *deals[1], complaint)
    others = [keys for index, keys in enumerate(FOUNDERS) if index != bad]
    assert all(find_complaints(CEREMONY, deals, keys.bls_key) == () for keys in others)


def test_two_wrong_shares_that_cancel_out_are_both_complained_of() -> None:
    """A sum that fits is not enough: one of the two dealers may be disqualified later."""
    deals = make_deals(0, 1, 2)
    spoiled = [deals[0], (deals[1][0], spoil_share(make_deal(1), 0)), (deals[2][0], spoil_share(make_deal(2), 0))]
    found = find_complaints(CEREMONY, spoiled, FOUNDERS[0].bls_key)
    assert [complaint.dealer for complaint in found] == [FOUNDERS[1].member, FOUNDERS[2].member]


def test_a_complaint_about_an_honest_deal_proves_nothing() -> None:
    """The complainer opens its true share: it fits, so the complaint is false."""
    spoiled = [(FOUNDERS[1].member, spoil_share(make_deal(1), 0))]
    (complaint,) = find_complaints(CEREMONY, spoiled, FOUNDERS[0].bls_key)
    assert not is_complaint_right(CEREMONY, FOUNDERS[0].member, FOUNDERS[1].member, make_deal(1), complaint)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"shared_point": SharedPoint(make_deal(2).ephemeral_key)}, id="another point"),
        pytest.param({"shared_point": SharedPoint(INFINITY)}, id="infinity"),
        pytest.param({"proof": BlsProof(bytes(64))}, id="no proof"),
    ],
)
def test_a_complaint_with_a_wrong_proof_convicts_nobody(change: dict[str, object]) -> None:
    bad = spoil_share(make_deal(1), 0)
    (complaint,) = find_complaints(CEREMONY, [(FOUNDERS[1].member, bad)], FOUNDERS[0].bls_key)
    forged = replace(complaint, **change)  # type: ignore[arg-type]
    assert not is_complaint_right(CEREMONY, FOUNDERS[0].member, FOUNDERS[1].member, bad, forged)


def test_a_complaint_of_another_member_or_ceremony_proves_nothing() -> None:
    bad = spoil_share(make_deal(1), 0)
    (complaint,) = find_complaints(CEREMONY, [(FOUNDERS[1].member, bad)], FOUNDERS[0].bls_key)
    assert not is_complaint_right(CEREMONY, FOUNDERS[2].member, FOUNDERS[1].member, bad, complaint)
    other_chain = replace(CEREMONY, chain_id=make_digest("other chain"))
    assert not is_complaint_right(other_chain, FOUNDERS[0].member, FOUNDERS[1].member, bad, complaint)


def repost_ephemeral_key() -> PostDeal:
    """Return a rogue deal under an honest dealer's ephemeral key, with the proof that stands beside it there."""
    honest, rogue = make_deal(0), make_deal(1)
    return replace(rogue, ephemeral_key=honest.ephemeral_key, ephemeral_proof=honest.ephemeral_proof)


def add_infinity(deal: PostDeal) -> PostDeal:
    return replace(deal, commitments=deal.commitments[:96] + INFINITY + deal.commitments[192:])


def take_uncompressed_flag(deal: PostDeal) -> PostDeal:
    first = bytes([deal.commitments[0] & 0x7F])
    return replace(deal, commitments=first + deal.commitments[1:])


@pytest.mark.parametrize(
    ("deal", "error"),
    [
        pytest.param(repost_ephemeral_key(), "does not verify", id="somebody else's ephemeral key"),
        pytest.param(add_infinity(make_deal(1)), "infinity", id="a commitment at infinity"),
        pytest.param(take_uncompressed_flag(make_deal(1)), "no point", id="bytes that are no point"),
        pytest.param(replace(make_deal(1), commitments=make_deal(1).commitments[:-96]), "not 3 points", id="low"),
        pytest.param(
            replace(make_deal(1), commitments=make_deal(1).commitments + make_deal(0).commitments[:96]),
            "not 3 points",
            id="high degree",
        ),
        pytest.param(replace(make_deal(1), shares=make_deal(1).shares[:-32]), "4 validators", id="a share withheld"),
        pytest.param(replace(make_deal(1), secret_proof=NO_PROOF), "does not verify", id="an unknown secret"),
        pytest.param(replace(make_deal(1), ephemeral_proof=NO_PROOF), "does not verify", id="an unknown ephemeral"),
        pytest.param(make_deal(0), "does not verify", id="another dealer's deal"),
        pytest.param(spoil_share(make_deal(1), 2), "does not verify", id="shares that were changed on the way"),
    ],
)
def test_a_deal_that_does_not_hold_is_refused(deal: PostDeal, error: str) -> None:
    with pytest.raises(InvalidMessage, match=error):
        check_deal(CEREMONY, FOUNDERS[1].member, deal)


def test_a_bad_deal_costs_one_verification(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its dealer may post it again and again."""
    bad = replace(make_deal(2), secret_proof=BlsProof(bytes(63) + b"1"))
    with pytest.raises(InvalidMessage):
        check_deal(CEREMONY, FOUNDERS[2].member, bad)
    monkeypatch.setattr("protocol.beacon.dealing.check_knowledge", lambda *_arguments: None)
    with pytest.raises(InvalidMessage):
        check_deal(CEREMONY, FOUNDERS[2].member, bad)


def test_a_sum_at_infinity_is_no_key() -> None:
    """A rogue that knew the others' secrets could cancel them; nobody would hold such a key."""
    constant = split_points(make_deal(0).commitments)[0]
    negative = encode_public_key(-decode_public_key(constant))
    rogue = replace(make_deal(1), commitments=negative + make_deal(1).commitments[96:])
    third = replace(make_deal(2), commitments=compute_ephemeral_key(derive_scalar(Domain.DEAL, b"x")) * 3)
    fourth = replace(third, commitments=encode_public_key(-decode_public_key(BlsPublicKey(third.commitments[:96]))) * 3)
    members = [keys.member for keys in FOUNDERS]
    assert build_group_key(CEREMONY, list(zip(members, (make_deal(0), rogue, third, fourth), strict=True))) is None


def test_a_share_of_another_index_does_not_fit() -> None:
    key = build_group_key(CEREMONY, make_deals(0, 1, 2, 3))
    assert key is not None
    share = derive_share(CEREMONY.chain_id, key, FOUNDERS[0].member, FOUNDERS[0].bls_key)
    check_share(split_points(key.commitments), 0, share)
    with pytest.raises(InvalidMessage, match="not the one"):
        check_share(split_points(key.commitments), 1, share)
