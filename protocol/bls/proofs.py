"""Proofs about logarithms on G2, each bound to a context: that somebody knows one, that two are the same.

Both are Schnorr proofs in their short form, challenge and response, with the challenge hashed from every public value
(Fiat-Shamir). The nonce is derived from the secret and the same public values, so that one nonce never serves two
statements, and no proof needs randomness.
"""

from dataclasses import dataclass

from py_arkworks_bls12381 import G2Point, Scalar

from protocol.bls.points import GENERATOR, decode_point, encode_public_key
from protocol.bls.scalars import SCALAR_BYTES, derive_scalar, encode_scalar, load_scalar
from protocol.crypto import Domain
from protocol.errors import InvalidMessage
from protocol.units import BlsProof, BlsPublicKey, BlsScalar, SharedPoint


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPointClaim:
    """The statement that a point is the secret of a public key times another point (Chaum-Pedersen)."""

    public_key: BlsPublicKey
    other_key: BlsPublicKey
    """The point that was multiplied: a deal's ephemeral key."""
    shared_point: SharedPoint


def prove_knowledge(scalar: BlsScalar, context: bytes) -> BlsProof:
    """Return the proof that the prover knows the logarithm of ``scalar`` times the generator.

    Args:
        scalar: The secret; not zero.
        context: Everything that the proof must not be carried away from.
    """
    secret = load_scalar(scalar)
    public = bytes((GENERATOR * secret).to_compressed_bytes())
    nonce = load_scalar(derive_scalar(Domain.KNOWLEDGE_NONCE, scalar, public, context))
    challenge = _compute_knowledge_challenge(public, GENERATOR * nonce, context)
    return _build_proof(challenge, nonce, secret)


def check_knowledge(point: BlsPublicKey, proof: BlsProof, context: bytes) -> None:
    """Check that whoever made a proof knew the logarithm of a point.

    Raises:
        InvalidMessage: The point or the proof is not valid, or the proof is of another point or context.
    """
    public = decode_point(point, "the point of a proof of knowledge")
    challenge, response = _split(proof)
    announced = GENERATOR * load_scalar(response) - public * load_scalar(challenge)
    if _compute_knowledge_challenge(point, announced, context) != challenge:
        raise InvalidMessage("a proof of knowledge does not verify")


def prove_shared_point(secret: Scalar, claim: SharedPointClaim, context: bytes) -> BlsProof:
    """Return the proof of a claim that the prover's secret makes true.

    Args:
        secret: The logarithm of the claim's public key.
        claim: A true statement.
        context: Everything that the proof must not be carried away from.
    """
    statement = (claim.public_key, claim.other_key, claim.shared_point, context)
    nonce = load_scalar(derive_scalar(Domain.SHARED_POINT_NONCE, encode_scalar(secret), *statement))
    other = decode_point(claim.other_key, "an ephemeral key")
    challenge = _compute_shared_point_challenge(claim, (GENERATOR * nonce, other * nonce), context)
    return _build_proof(challenge, nonce, secret)


def check_shared_point(claim: SharedPointClaim, proof: BlsProof, context: bytes) -> None:
    """Check the proof of a claim.

    Raises:
        InvalidMessage: A point or the proof is not valid, or the proof is of another claim or context.
    """
    public = decode_point(claim.public_key, "a BLS public key")
    other = decode_point(claim.other_key, "an ephemeral key")
    shared = decode_point(claim.shared_point, "a shared point")
    challenge, response = _split(proof)
    challenge_scalar, response_scalar = load_scalar(challenge), load_scalar(response)
    announced = (
        GENERATOR * response_scalar - public * challenge_scalar,
        other * response_scalar - shared * challenge_scalar,
    )
    if _compute_shared_point_challenge(claim, announced, context) != challenge:
        raise InvalidMessage("the proof of a shared point does not verify")


def _compute_knowledge_challenge(public: bytes, announced: G2Point, context: bytes) -> BlsScalar:
    return derive_scalar(Domain.KNOWLEDGE_CHALLENGE, public, encode_public_key(announced), context)


def _compute_shared_point_challenge(
    claim: SharedPointClaim, announced: tuple[G2Point, G2Point], context: bytes
) -> BlsScalar:
    points = (claim.public_key, claim.other_key, claim.shared_point, *map(encode_public_key, announced))
    return derive_scalar(Domain.SHARED_POINT_CHALLENGE, *points, context)


def _build_proof(challenge: BlsScalar, nonce: Scalar, secret: Scalar) -> BlsProof:
    return BlsProof(challenge + encode_scalar(nonce + load_scalar(challenge) * secret))


def _split(proof: BlsProof) -> tuple[BlsScalar, BlsScalar]:
    return BlsScalar(proof[:SCALAR_BYTES]), BlsScalar(proof[SCALAR_BYTES:])
