"""The distributed key generation of one epoch: what a deal is, when it holds, and what its shares come to (B4).

Joint Feldman: every validator deals a random polynomial of degree threshold - 1 to all validators, in encrypted shares
that stand on the ledger with commitments to the coefficients. The group key's polynomial is the sum of those of the
qualified dealers. Sources: P. Feldman, "A Practical Scheme for Non-interactive Verifiable Secret Sharing", FOCS 1987;
R. Gennaro, S. Jarecki, H. Krawczyk, T. Rabin, "Secure Distributed Key Generation for Discrete-Log Based
Cryptosystems", J. Cryptology 20 (2007), sections 3 and 4, on what joint Feldman does and does not give: a rushing
dealer can bias the distribution of the public key, which is harmless for unique signatures under it.

Who must do what, and who pays, is decided in :mod:`protocol.ledger.ceremony`; here is the arithmetic, all of it
functions of their arguments.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from protocol.beacon.group_key import POINT_BYTES, SHARE_BYTES, DealtShares, GroupKey, compute_threshold, split_points
from protocol.bls import (
    BlsSigningKey,
    Complaint,
    add_commitments,
    add_scalars,
    build_complaint,
    check_commitments,
    check_complaint,
    check_knowledge,
    check_share,
    compute_commitments,
    compute_ephemeral_key,
    decrypt_share,
    derive_ephemeral_secret,
    derive_polynomial,
    encrypt_share,
    open_with_shared_point,
    prove_knowledge,
)
from protocol.crypto import Domain, compute_digest
from protocol.errors import InvalidMessage
from protocol.operations import Complain, PostDeal
from protocol.units import BlsPublicKey, BlsScalar, Digest, EncryptedShare, Epoch, MemberId

DEALS_REMEMBERED: Final = 1_024
"""Judged deals, so that executing a block need not repeat what was done when the deal came in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceremony:
    """One epoch's key generation: everything that its deals are bound to."""

    chain_id: Digest
    epoch: Epoch
    dealers: tuple[MemberId, ...]
    """The epoch's validators, sorted; they are the recipients as well."""
    bls_keys: tuple[BlsPublicKey, ...]
    """Theirs, in the same order."""

    @property
    def threshold(self) -> int:
        """How many shares make a secret."""
        return compute_threshold(len(self.dealers))


def build_deal(ceremony: Ceremony, dealer: MemberId, secret: bytes) -> PostDeal:
    """Return a dealer's deal; the same secret always gives the same deal, whatever was lost in between.

    Args:
        ceremony: The epoch's.
        dealer: One of its validators.
        secret: 32 bytes that nobody else knows, of the dealer's long-term keys.
    """
    everybody = b"".join(ceremony.bls_keys)
    epoch = ceremony.epoch.to_bytes(8, "big")
    seed = compute_digest(Domain.DEAL_SECRET, secret, ceremony.chain_id, epoch, dealer, everybody)
    polynomial = derive_polynomial(seed, ceremony.threshold)
    commitments = b"".join(compute_commitments(polynomial))
    ephemeral = derive_ephemeral_secret(seed)
    ephemeral_key = compute_ephemeral_key(ephemeral)
    context = _compute_context(ceremony, dealer)
    shares = b"".join(
        encrypt_share(ephemeral, bls_key, polynomial.evaluate(index), context, index)
        for index, bls_key in enumerate(ceremony.bls_keys)
    )
    whole = _compute_whole_context(ceremony, dealer, commitments, ephemeral_key, shares)
    return PostDeal(
        epoch=ceremony.epoch,
        commitments=commitments,
        ephemeral_key=ephemeral_key,
        shares=shares,
        secret_proof=prove_knowledge(polynomial.get_secret(), whole),
        ephemeral_proof=prove_knowledge(ephemeral, whole),
    )


def check_deal(ceremony: Ceremony, dealer: MemberId, deal: PostDeal) -> None:
    """Check everything about a deal that is public: sizes, points, and both proofs of knowledge.

    Whether the encrypted shares fit the commitments is known to their recipients only, who complain if they don't.
    Slow, 0.1 ms per commitment and 2 ms besides; what was found is remembered, of bad deals as well.

    Raises:
        InvalidMessage: Something does not hold.
    """
    fault = _find_fault(ceremony, dealer, deal)
    if fault:
        raise InvalidMessage(fault)


def find_complaints(
    ceremony: Ceremony, deals: Sequence[tuple[MemberId, PostDeal]], bls_key: BlsSigningKey
) -> tuple[Complain, ...]:
    """Return a complaint about every deal whose share for this key's holder is wrong; usually none.

    Slow: 0.5 ms per deal and more; not to be called where something waits.

    Args:
        ceremony: The epoch's, with the key's holder among its validators.
        deals: With their dealers; each has passed :func:`check_deal`.
        bls_key: The recipient's.
    """
    index = ceremony.bls_keys.index(bls_key.public_key)
    complaints: list[Complain] = []
    for dealer, deal in deals:
        context = _compute_context(ceremony, dealer)
        try:
            share = decrypt_share(bls_key, deal.ephemeral_key, _get_share(deal.shares, index), context, index)
            check_share(split_points(deal.commitments), index, share)
        except InvalidMessage:
            made = build_complaint(bls_key, deal.ephemeral_key, context, index)
            complaints.append(
                Complain(epoch=ceremony.epoch, dealer=dealer, shared_point=made.shared_point, proof=made.proof)
            )
    return tuple(complaints)


def is_complaint_right(
    ceremony: Ceremony, complainer: MemberId, dealer: MemberId, deal: PostDeal, complaint: Complain
) -> bool:
    """Return whether a complaint shows a wrong share; if not, the complaint itself is the offence."""
    index = ceremony.dealers.index(complainer)
    context = _compute_context(ceremony, dealer)
    claim = Complaint(shared_point=complaint.shared_point, proof=complaint.proof)
    try:
        check_complaint(claim, ceremony.bls_keys[index], deal.ephemeral_key, context, index)
    except InvalidMessage:
        return False
    try:
        share = open_with_shared_point(complaint.shared_point, _get_share(deal.shares, index), context, index)
        check_share(split_points(deal.commitments), index, share)
    except InvalidMessage:
        return True
    return False


def build_group_key(ceremony: Ceremony, deals: Sequence[tuple[MemberId, PostDeal]]) -> GroupKey | None:
    """Return the key that the qualified deals of a ceremony add up to; None if they are too few.

    As many as the threshold are needed, so that one of them at least is not an attacker's.
    """
    if len(deals) < ceremony.threshold:
        return None
    try:
        commitments = add_commitments([split_points(deal.commitments) for _, deal in deals])
    except InvalidMessage:
        # The sum is the point at infinity: not by chance, and no key.
        return None
    return GroupKey(
        epoch=Epoch(ceremony.epoch + 1),
        holders=ceremony.dealers,
        commitments=b"".join(commitments),
        deals=tuple(
            DealtShares(dealer=dealer, ephemeral_key=deal.ephemeral_key, shares=deal.shares) for dealer, deal in deals
        ),
    )


def derive_share(chain_id: Digest, key: GroupKey, holder: MemberId, bls_key: BlsSigningKey) -> BlsScalar:
    """Return a holder's share of a group key, from what the ledger has and the long-term key alone.

    Slow: 0.5 ms per deal.

    Raises:
        InvalidMessage: A dealer encrypted what is no share at all.
    """
    index = key.holders.index(holder)
    epoch = Epoch(key.epoch - 1)
    return add_scalars(
        [
            decrypt_share(
                bls_key,
                deal.ephemeral_key,
                _get_share(deal.shares, index),
                _build_context(chain_id, epoch, deal.dealer),
                index,
            )
            for deal in key.deals
        ]
    )


@lru_cache(DEALS_REMEMBERED)
def _find_fault(ceremony: Ceremony, dealer: MemberId, deal: PostDeal) -> str:
    """Return what does not hold of a deal, or nothing."""
    try:
        _check_parts(ceremony, dealer, deal)
    except InvalidMessage as error:
        return str(error)
    return ""


def _check_parts(ceremony: Ceremony, dealer: MemberId, deal: PostDeal) -> None:
    if len(deal.commitments) != ceremony.threshold * POINT_BYTES:
        raise InvalidMessage(f"{len(deal.commitments)} bytes of commitments, not {ceremony.threshold} points")
    if len(deal.shares) != len(ceremony.dealers) * SHARE_BYTES:
        raise InvalidMessage(f"{len(deal.shares)} bytes of shares for {len(ceremony.dealers)} validators")
    points = split_points(deal.commitments)
    check_commitments(points)
    whole = _compute_whole_context(ceremony, dealer, deal.commitments, deal.ephemeral_key, deal.shares)
    check_knowledge(points[0], deal.secret_proof, whole)
    check_knowledge(deal.ephemeral_key, deal.ephemeral_proof, whole)


def _get_share(shares: bytes, index: int) -> EncryptedShare:
    return EncryptedShare(shares[index * SHARE_BYTES : (index + 1) * SHARE_BYTES])


def _compute_context(ceremony: Ceremony, dealer: MemberId) -> bytes:
    return _build_context(ceremony.chain_id, ceremony.epoch, dealer)


def _build_context(chain_id: Digest, epoch: Epoch, dealer: MemberId) -> bytes:
    """Return what the encryption of shares is bound to."""
    return compute_digest(Domain.DEAL, chain_id, epoch.to_bytes(8, "big"), dealer)


def _compute_whole_context(
    ceremony: Ceremony, dealer: MemberId, commitments: bytes, ephemeral_key: bytes, shares: bytes
) -> bytes:
    """Return what the proofs of knowledge are bound to: all of the deal."""
    return compute_digest(Domain.DEAL, _compute_context(ceremony, dealer), commitments, ephemeral_key, shares)
