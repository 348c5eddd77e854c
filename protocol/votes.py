"""Votes and certificates: the signatures of consensus, and what makes a quorum of them (section 4).

A vote is one member's signature; a certificate is a quorum of votes of one kind for one block or view. When a vote
may be cast is decided in :mod:`protocol.consensus.machine`.
"""

from dataclasses import dataclass
from enum import IntEnum

from protocol.codec import encode
from protocol.crypto import Domain, SigningKey, check_signature
from protocol.errors import InvalidMessage
from protocol.units import Digest, Epoch, MemberId, Signature, View
from protocol.validators import ValidatorSet


class VoteKind(IntEnum):
    """What a vote says."""

    NOTARIZE = 0
    """This block is valid and the first of its leader in this view."""
    NULLIFY = 1
    """Nothing came of this view in time."""
    FINALIZE = 2
    """I saw a notarization of this block and have not voted to nullify its view."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteContent:
    """What a vote's signature covers besides the chain id: no other vote has the same bytes (C15)."""

    epoch: Epoch
    kind: VoteKind
    view: View
    block_hash: Digest | None
    """The block voted for; None for NULLIFY."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One validator's signature in consensus."""

    epoch: Epoch
    kind: VoteKind
    view: View
    block_hash: Digest | None
    """The block voted for; None for NULLIFY."""
    member: MemberId
    signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A quorum of votes of one kind, for one block or view."""

    epoch: Epoch
    kind: VoteKind
    view: View
    block_hash: Digest | None
    signers: bytes
    """A bitmap over the epoch's validators: index i is bit i % 8 of byte i // 8."""
    signatures: tuple[Signature, ...]
    """One per signer, in the order of the validators."""


def compute_vote_message(epoch: Epoch, kind: VoteKind, view: View, block_hash: Digest | None) -> bytes:
    """Return what a vote's signature covers under its domain and chain (C15)."""
    return encode(VoteContent(epoch=epoch, kind=kind, view=view, block_hash=block_hash))


def sign_vote(
    chain_id: Digest, key: SigningKey, *, epoch: Epoch, kind: VoteKind, view: View, block_hash: Digest | None
) -> Vote:
    """Return a signed vote."""
    message = compute_vote_message(epoch, kind, view, block_hash)
    return Vote(
        epoch=epoch,
        kind=kind,
        view=view,
        block_hash=block_hash,
        member=key.member,
        signature=key.sign(Domain.VOTE, chain_id, message),
    )


def check_vote(chain_id: Digest, vote: Vote) -> None:
    """Check a vote's shape and signature; whether the member is a validator is the caller's question.

    Raises:
        InvalidMessage: The block hash does not fit the kind, or the signature is wrong.
    """
    _check_shape(vote.kind, vote.block_hash)
    message = compute_vote_message(vote.epoch, vote.kind, vote.view, vote.block_hash)
    check_signature(vote.member, Domain.VOTE, chain_id, message, vote.signature)


def build_certificate(validators: ValidatorSet, votes: tuple[Vote, ...]) -> Certificate:
    """Return the certificate of votes that agree in epoch, kind, view and block, from distinct validators."""
    by_index = sorted((validators.get_index(vote.member), vote.signature) for vote in votes)
    bitmap = bytearray((len(validators.validators) + 7) // 8)
    for index, _ in by_index:
        bitmap[index >> 3] |= 1 << (index & 7)
    first = votes[0]
    return Certificate(
        epoch=first.epoch,
        kind=first.kind,
        view=first.view,
        block_hash=first.block_hash,
        signers=bytes(bitmap),
        signatures=tuple(signature for _, signature in by_index),
    )


def split_certificate(validators: ValidatorSet, certificate: Certificate) -> tuple[Vote, ...]:
    """Return the votes that a certificate holds, unchecked, in the order of the validators.

    Raises:
        InvalidMessage: Bitmap and signatures do not fit each other or the validator set.
    """
    count = len(validators.validators)
    if len(certificate.signers) != (count + 7) // 8:
        raise InvalidMessage("a certificate's bitmap does not fit the validator set")
    indexes = [index for index in range(count) if certificate.signers[index >> 3] >> (index & 7) & 1]
    if sum(byte.bit_count() for byte in certificate.signers) != len(indexes):
        raise InvalidMessage("a certificate's bitmap names validators that do not exist")
    if len(indexes) != len(certificate.signatures):
        raise InvalidMessage("a certificate has not one signature per signer")
    return tuple(
        Vote(
            epoch=certificate.epoch,
            kind=certificate.kind,
            view=certificate.view,
            block_hash=certificate.block_hash,
            member=validators.validators[index].member,
            signature=signature,
        )
        for index, signature in zip(indexes, certificate.signatures, strict=True)
    )


def check_certificate(chain_id: Digest, validators: ValidatorSet, certificate: Certificate) -> None:
    """Check a certificate: epoch, shape, quorum, and every signature in it.

    Raises:
        InvalidMessage: One of these is wrong.
    """
    if certificate.epoch != validators.epoch:
        raise InvalidMessage(f"a certificate is of epoch {certificate.epoch}, not {validators.epoch}")
    _check_shape(certificate.kind, certificate.block_hash)
    votes = split_certificate(validators, certificate)
    if not validators.is_quorum(vote.member for vote in votes):
        raise InvalidMessage("a certificate's signers hold no quorum")
    message = compute_vote_message(certificate.epoch, certificate.kind, certificate.view, certificate.block_hash)
    for vote in votes:
        check_signature(vote.member, Domain.VOTE, chain_id, message, vote.signature)


def _check_shape(kind: VoteKind, block_hash: Digest | None) -> None:
    if (kind is VoteKind.NULLIFY) != (block_hash is None):
        raise InvalidMessage(f"a {kind.name} vote with {'no' if block_hash is None else 'a'} block hash")
