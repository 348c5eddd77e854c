"""Encrypted shares that stand on the ledger for all to see, and proofs about what they are encrypted with (B4).

A dealer makes an ephemeral key E = e * G for one deal. The point S = e * P = x * E is known to it and to the holder of
P = x * G alone; a share is encrypted by adding a digest of S to it, bit by bit. A recipient that complains reveals S
and proves that log_G(P) = log_E(S): D. Chaum, T. Pedersen, "Wallet Databases with Observers", CRYPTO 1992. Knowledge of
e and of the deal's secret is proven by C. Schnorr, "Efficient Signature Generation by Smart Cards", J. Cryptology 4
(1991). Both are made non-interactive by a digest over everything that is public, and their nonces derive from the
secret and all of that, so that no nonce ever serves two statements.
"""

from py_arkworks_bls12381 import G2Point, Scalar

from protocol.bls.points import decode_public_key, encode_public_key
from protocol.bls.scalars import decode_scalar, encode_scalar, hash_to_scalar
from protocol.crypto import Domain, compute_digest
from protocol.errors import InvalidMessage
from protocol.units import BlsPublicKey, BlsScalar

PROOF_BYTES = 64
"""A challenge and a response, 32 bytes each."""


def encrypt_share(share: BlsScalar, ephemeral: BlsScalar, recipient: BlsPublicKey, context: bytes, index: int) -> bytes:
    """Return a share for one recipient, 32 bytes.

    Args:
        share: What to encrypt.
        ephemeral: The deal's ephemeral secret.
        recipient: The recipient's public key.
        context: What the deal is bound to.
        index: The recipient's.

    Raises:
        InvalidMessage: The recipient's key is no point.
    """
    shared_point = encode_public_key(decode_public_key(recipient) * decode_scalar(ephemeral))
    return open_with_shared_point(shared_point, share, context, index)


def open_with_shared_point(shared_point: BlsPublicKey, encrypted: bytes, context: bytes, index: int) -> bytes:
    """Return the 32 bytes that were encrypted under a shared point; they need not be a scalar."""
    pad = compute_digest(Domain.SHARE_PAD, context, index.to_bytes(4, "big"), shared_point)
    return bytes(one ^ other for one, other in zip(encrypted, pad, strict=True))


def compute_shared_point(secret: Scalar, ephemeral_key: BlsPublicKey) -> BlsPublicKey:
    """Return the point that a recipient's secret and a deal's ephemeral key share."""
    return encode_public_key(decode_public_key(ephemeral_key) * secret)


def prove_shared_point(secret: Scalar, public_key: BlsPublicKey, ephemeral_key: BlsPublicKey, context: bytes) -> bytes:
    """Return the proof that a recipient's shared point is the one of its public key."""
    base = decode_public_key(ephemeral_key)
    shared_point = encode_public_key(base * secret)
    statement = (context, public_key, ephemeral_key, shared_point)
    nonce = hash_to_scalar(Domain.NONCE, encode_scalar(secret), b"shared point", *statement)
    challenge = _compute_challenge(b"shared point", *statement, G2Point() * nonce, base * nonce)
    return encode_scalar(challenge) + encode_scalar(nonce + challenge * secret)


def check_shared_point(
    public_key: BlsPublicKey, ephemeral_key: BlsPublicKey, shared_point: BlsPublicKey, proof: bytes, context: bytes
) -> None:
    """Check a recipient's proof of its shared point.

    Raises:
        InvalidMessage: It proves nothing, or something is no point.
    """
    challenge, response = _split_proof(proof)
    base, shared, key = decode_public_key(ephemeral_key), decode_public_key(shared_point), decode_public_key(public_key)
    generator_side = G2Point() * response - key * challenge
    ephemeral_side = base * response - shared * challenge
    statement = (context, public_key, ephemeral_key, shared_point)
    if challenge != _compute_challenge(b"shared point", *statement, generator_side, ephemeral_side):
        raise InvalidMessage("a shared point is not proven to be one")


def prove_knowledge(secret: BlsScalar, context: bytes) -> bytes:
    """Return the proof that the secret number of a point is known."""
    scalar = decode_scalar(secret)
    point = encode_public_key(G2Point() * scalar)
    nonce = hash_to_scalar(Domain.NONCE, secret, b"knowledge", context, point)
    challenge = _compute_challenge(b"knowledge", context, point, G2Point() * nonce)
    return encode_scalar(challenge) + encode_scalar(nonce + challenge * scalar)


def check_knowledge(point: BlsPublicKey, proof: bytes, context: bytes) -> None:
    """Check a proof that the secret number of a point is known.

    Raises:
        InvalidMessage: It is none, or the point is no point.
    """
    challenge, response = _split_proof(proof)
    commitment = G2Point() * response - decode_public_key(point) * challenge
    if challenge != _compute_challenge(b"knowledge", context, point, commitment):
        raise InvalidMessage("knowledge of a point's secret is not proven")


def _split_proof(proof: bytes) -> tuple[Scalar, Scalar]:
    if len(proof) != PROOF_BYTES:
        raise InvalidMessage(f"a proof of {len(proof)} bytes, not {PROOF_BYTES}")
    return decode_scalar(proof[:32]), decode_scalar(proof[32:])


def _compute_challenge(what: bytes, *parts: bytes | G2Point) -> Scalar:
    encoded = [part if isinstance(part, bytes) else encode_public_key(part) for part in parts]
    return hash_to_scalar(Domain.CHALLENGE, what, *encoded)
