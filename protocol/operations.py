"""Operations: what members ask the ledger to do. Signed, numbered, and judged in :mod:`protocol.ledger` (L8)."""

from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from protocol.cards import CardContent
from protocol.codec import decode, encode
from protocol.crypto import Domain, SigningKey, check_signature, compute_digest
from protocol.evidence import Evidence
from protocol.units import BlsPublicKey, Digest, Epoch, MemberId, Round, Salt, Sequence, Signature, Stake

OPERATION_BYTES_MAX: Final = 24_576
"""A deal among the most members that there may be takes about 21,000 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitUpdate:
    """A proposer's manifest of its update (F3); the bytes travel outside the ledger."""

    tag: ClassVar[int] = 0
    round: Round
    base_digest: Digest
    """The model that the update was trained from."""
    scale_exponents: tuple[int, ...]
    """One power of two per trainable tensor, in schema order (F4)."""
    artifact_digest: Digest
    artifact_bytes: int
    example_count: int
    """Number of training examples; information only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """A voter's judgement (F8)."""

    candidate_digest: Digest
    """The candidate that this voter computed (F6)."""
    is_accept: bool
    update_flags: tuple[bool, ...]
    """One per update of the round, in canonical order; True flags it as bad."""
    is_base_flagged: bool
    """True says that the base model itself fails against the best one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealBallot:
    """A voter's commitment to its ballot (F8)."""

    tag: ClassVar[int] = 1
    round: Round
    attempt: int
    """0, or 1 for the retrial."""
    seal: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class RevealBallot:
    """A voter's opening of its sealed ballot (F8)."""

    tag: ClassVar[int] = 2
    round: Round
    attempt: int
    ballot: Ballot
    salt: Salt


@dataclass(frozen=True, slots=True, kw_only=True)
class Bond:
    """Move free stake to bonded."""

    tag: ClassVar[int] = 3
    amount: Stake


@dataclass(frozen=True, slots=True, kw_only=True)
class Unbond:
    """Start to move bonded stake to free, by way of unbonding (L6)."""

    tag: ClassVar[int] = 4
    amount: Stake


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportEvidence:
    """Convict a member of an offence (L7)."""

    tag: ClassVar[int] = 5
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """Ask the others to admit a newcomer with a bond, and approve it oneself (L9); sent by a validator."""

    tag: ClassVar[int] = 6
    card: CardContent
    signature: Signature
    """The newcomer's, over its card: nobody joins against their will."""
    bond: Stake
    """What the newcomer will have bonded, in micro-tokens; it is created when it joins (L2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approve:
    """Approve of a newcomer that somebody has asked for, and of its bond (L9)."""

    tag: ClassVar[int] = 7
    member: MemberId
    bond: Stake
    """As the request says; another amount is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Leave at the end of the epoch: all bonded stake starts to unbond then (L9)."""

    tag: ClassVar[int] = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PostDeal:
    """A validator's part in the next group key of the beacon: a secret, dealt to all validators in shares (B4)."""

    tag: ClassVar[int] = 9
    epoch: Epoch
    """The epoch of the ceremony; its key comes into use with the next one."""
    commitments: bytes
    """To the coefficients of the secret polynomial: points on G2, 96 bytes each, the constant term's first."""
    ephemeral_key: BlsPublicKey
    """What the shares are encrypted with, made for this deal alone."""
    shares: bytes
    """The encrypted shares, 32 bytes each, in the order of the validators."""
    secret_proof: bytes
    """That the dealer knows the constant term."""
    ephemeral_proof: bytes
    """That the dealer knows the ephemeral secret: otherwise it could post somebody else's key again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complain:
    """A validator opens the share that a dealer dealt to it, for everybody to see whether it is wrong (B4)."""

    tag: ClassVar[int] = 10
    epoch: Epoch
    dealer: MemberId
    shared_point: BlsPublicKey
    """What the share is encrypted under: the dealer's ephemeral key times the own secret key."""
    proof: bytes
    """That it is that point (Chaum-Pedersen)."""


Payload: TypeAlias = (
    SubmitUpdate
    | SealBallot
    | RevealBallot
    | Bond
    | Unbond
    | ReportEvidence
    | Join
    | Approve
    | Leave
    | PostDeal
    | Complain
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationContent:
    """What an operation's signature covers besides the chain id."""

    member: MemberId
    sequence: Sequence
    payload: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A signed operation."""

    content: OperationContent
    signature: Signature


def sign_operation(chain_id: Digest, key: SigningKey, sequence: Sequence, payload: Payload) -> Operation:
    """Return a signed operation of the key's member."""
    content = OperationContent(member=key.member, sequence=sequence, payload=payload)
    return Operation(content=content, signature=key.sign(Domain.OPERATION, chain_id, encode(content)))


def decode_operation(encoded: bytes) -> Operation:
    """Return an operation from untrusted bytes; its signature is not checked yet.

    Raises:
        MalformedMessage: The bytes are no operation.
    """
    return decode(Operation, encoded, bytes_max=OPERATION_BYTES_MAX)


def check_operation_signature(chain_id: Digest, operation: Operation) -> None:
    """Check that the member named in an operation signed it.

    Raises:
        InvalidMessage: It did not.
    """
    content = operation.content
    check_signature(content.member, Domain.OPERATION, chain_id, encode(content), operation.signature)


def compute_operation_id(encoded: bytes) -> Digest:
    """Return the digest that names an encoded operation."""
    return compute_digest(Domain.OPERATION, encoded)


def compute_seal(voter: MemberId, round_number: Round, attempt: int, ballot: Ballot, salt: Salt) -> Digest:
    """Return the seal of a ballot: bound to voter, round and attempt, hidden by the salt (F8)."""
    where = round_number.to_bytes(8, "big") + attempt.to_bytes(1, "big")
    return compute_digest(Domain.BALLOT, voter, where, encode(ballot), salt)
