"""Where a genesis seed comes from, so that anybody can check that nobody chose it.

Either all founders make it together. Each commits to a secret with its card, then a draft of the genesis document
fixes everything but the seed, with all commitments in it, and only then does each founder reveal its secret, for this
draft alone. The seed is the digest of the draft and all secrets: one honest founder is enough for nobody to know it
while anything could still be chosen. Or it is a round of a drand network that was still to come when the founders
agreed on its number.

Known weakness of the first: whoever reveals last sees the outcome first, and can refuse. Everybody then knows who did.
"""

from dataclasses import dataclass

from protocol.bls.threshold import check_output, compute_randomness
from protocol.crypto import Domain, SigningKey, check_signature, compute_digest
from protocol.errors import InvalidMessage
from protocol.units import ZERO_DIGEST, BlsPublicKey, BlsSignature, Digest, MemberId, Round, SeedSecret, Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedCommitment:
    """A founder's promise to reveal one certain secret."""

    member: MemberId
    commitment: Digest
    """The digest of member and secret."""
    signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedReveal:
    """A founder's secret, revealed for one draft."""

    member: MemberId
    secret: SeedSecret
    signature: Signature
    """Over the draft and the secret, so that the secret counts for no other draft."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundersSeed:
    """How the founders made the seed together; both lists in the order of the founders."""

    commitments: tuple[SeedCommitment, ...]
    reveals: tuple[SeedReveal, ...]
    """None in a draft, one per founder in a genesis document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrandRound:
    """One output of a drand network with the scheme ``bls-unchained-g1-rfc9380``."""

    public_key: BlsPublicKey
    """The network's."""
    round: Round
    signature: BlsSignature


def sign_seed_commitment(key: SigningKey, secret: SeedSecret) -> SeedCommitment:
    """Return a founder's commitment to a secret, 32 random bytes."""
    commitment = _compute_commitment(key.member, secret)
    signature = key.sign(Domain.SEED_COMMITMENT, ZERO_DIGEST, commitment)
    return SeedCommitment(member=key.member, commitment=commitment, signature=signature)


def check_seed_commitment(commitment: SeedCommitment) -> None:
    """Check that a founder made a commitment.

    Raises:
        InvalidMessage: The signature is not the founder's.
    """
    check_signature(commitment.member, Domain.SEED_COMMITMENT, ZERO_DIGEST, commitment.commitment, commitment.signature)


def sign_seed_reveal(key: SigningKey, draft: Digest, secret: SeedSecret) -> SeedReveal:
    """Return a founder's secret for one draft; from then on, no other draft may count on it."""
    return SeedReveal(member=key.member, secret=secret, signature=key.sign(Domain.SEED_REVEAL, draft, secret))


def check_seed_reveal(reveal: SeedReveal, commitment: SeedCommitment, draft: Digest) -> None:
    """Check that a founder revealed what it had committed to, for this draft.

    Raises:
        InvalidMessage: It is another secret, another draft, or not signed by the founder.
    """
    if reveal.member != commitment.member or _compute_commitment(reveal.member, reveal.secret) != commitment.commitment:
        raise InvalidMessage(f"member {reveal.member.hex()[:8]} revealed another secret than it had committed to")
    check_signature(reveal.member, Domain.SEED_REVEAL, draft, reveal.secret, reveal.signature)


def check_commitments_of(seed: FoundersSeed, members: tuple[MemberId, ...]) -> None:
    """Check that each founder, and nobody else, made a commitment.

    Raises:
        InvalidMessage: The message names whose is missing, too many or not signed.
    """
    committed = tuple(commitment.member for commitment in seed.commitments)
    if committed != members:
        raise InvalidMessage("the seed's commitments are not one of each founder, in the order of the founders")
    for commitment in seed.commitments:
        check_seed_commitment(commitment)


def check_reveals(seed: FoundersSeed, draft: Digest) -> None:
    """Check that each of those who committed revealed its secret for this draft.

    Raises:
        InvalidMessage: The message names whose reveal is missing or wrong.
    """
    revealed = {reveal.member for reveal in seed.reveals}
    missing = [commitment.member for commitment in seed.commitments if commitment.member not in revealed]
    if missing:
        raise InvalidMessage(f"no seed reveal of member {', '.join(member.hex()[:8] for member in missing)}")
    if [reveal.member for reveal in seed.reveals] != [commitment.member for commitment in seed.commitments]:
        raise InvalidMessage("the seed's reveals are not in the order of the founders, one of each")
    for reveal, commitment in zip(seed.reveals, seed.commitments, strict=True):
        check_seed_reveal(reveal, commitment, draft)


def compute_founders_seed(draft: Digest, reveals: tuple[SeedReveal, ...]) -> Digest:
    """Return the seed that founders made together."""
    return compute_digest(Domain.GENESIS_SEED, draft, *(reveal.secret for reveal in reveals))


def check_drand_round(drand: DrandRound) -> None:
    """Check that a round is an output of its network.

    Raises:
        InvalidMessage: The signature is not that of the round under the network's key.
    """
    check_output(drand.public_key, drand.round, drand.signature)


def compute_drand_seed(drand: DrandRound) -> Digest:
    """Return the seed that a drand round makes."""
    return compute_digest(Domain.GENESIS_SEED, drand.public_key, compute_randomness(drand.signature))


def _compute_commitment(member: MemberId, secret: SeedSecret) -> Digest:
    return compute_digest(Domain.SEED_COMMITMENT, member, secret)
