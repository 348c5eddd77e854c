"""A member's BLS key, what it signs, and what it has in common with another key; its secret never leaves.

Public keys lie on G2, signatures on G1, as in drand's scheme ``bls-unchained-g1-rfc9380``; messages are hashed to G1
by RFC 9380. The ciphersuite tags are those of the IETF draft on BLS signatures (section 4.2).
"""

from typing import Final

from py_arkworks_bls12381 import GT, G1Point, Scalar

from protocol.bls.points import (
    GENERATOR,
    decode_point,
    decode_public_key,
    decode_signature,
    encode_public_key,
    encode_signature,
)
from protocol.bls.proofs import SharedPointClaim, prove_shared_point
from protocol.crypto import Domain, compute_sign_bytes
from protocol.errors import InvalidMessage
from protocol.units import BlsProof, BlsPublicKey, BlsSignature, Digest, SharedPoint

SIGNATURE_TAG: Final = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"
POSSESSION_TAG: Final = b"BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_"


class BlsSigningKey:
    """A member's long-term BLS key."""

    def __init__(self, seed: bytes) -> None:
        """Take at least 48 random bytes; the scalar is the seed modulo the group order, with a bias below 2**-128.

        Raises:
            ValueError: The seed is too short, or gives the zero scalar.
        """
        if len(seed) < 48:
            raise ValueError("a BLS seed is at least 48 bytes")
        self._scalar = Scalar.from_be_bytes_mod_order(seed)
        if self._scalar.is_zero():
            raise ValueError("the seed gives the zero key")
        self.public_key = encode_public_key(GENERATOR * self._scalar)

    def sign(self, domain: Domain, chain_id: Digest, message: bytes) -> BlsSignature:
        """Return the unique signature over a message, under a domain and a chain."""
        return self._sign(compute_sign_bytes(domain, chain_id, message), SIGNATURE_TAG)

    def prove_possession(self) -> BlsSignature:
        """Return the signature over the own public key that shows this key is known to its holder."""
        return self._sign(self.public_key, POSSESSION_TAG)

    def compute_shared_point(self, other_key: BlsPublicKey) -> SharedPoint:
        """Return what this key and another have in common: this secret times the other's point (Diffie-Hellman).

        Raises:
            InvalidMessage: The other key is no valid point.
        """
        return SharedPoint(encode_public_key(decode_point(other_key, "an ephemeral key") * self._scalar))

    def prove_shared_point(self, other_key: BlsPublicKey, context: bytes) -> BlsProof:
        """Return the proof that :meth:`compute_shared_point` is what this key and another have in common.

        Raises:
            InvalidMessage: The other key is no valid point.
        """
        shared_point = self.compute_shared_point(other_key)
        claim = SharedPointClaim(public_key=self.public_key, other_key=other_key, shared_point=shared_point)
        return prove_shared_point(self._scalar, claim, context)

    def _sign(self, message: bytes, tag: bytes) -> BlsSignature:
        return encode_signature(G1Point.hash_to_curve(message, tag) * self._scalar)


def check_bls_signature(
    public_key: BlsPublicKey, domain: Domain, chain_id: Digest, message: bytes, signature: BlsSignature
) -> None:
    """Check a signature under a domain and a chain.

    Raises:
        InvalidMessage: The key or the signature is no valid point, or the signature is not this key's.
    """
    check_message(public_key, compute_sign_bytes(domain, chain_id, message), SIGNATURE_TAG, signature)


def check_possession(public_key: BlsPublicKey, proof: BlsSignature) -> None:
    """Check a proof of possession (L1).

    Raises:
        InvalidMessage: It does not prove that the holder knows the secret key.
    """
    check_message(public_key, public_key, POSSESSION_TAG, proof)


def check_message(public_key: BlsPublicKey, message: bytes, tag: bytes, signature: BlsSignature) -> None:
    """Check a signature over exactly these bytes, under a ciphersuite's tag.

    Raises:
        InvalidMessage: The key or the signature is no valid point, or the signature is not this key's.
    """
    key_point, signature_point = decode_public_key(public_key), decode_signature(signature)
    hashed = G1Point.hash_to_curve(message, tag)
    if not GT.pairing_check([signature_point, -hashed], [GENERATOR, key_point]):
        raise InvalidMessage("a BLS signature does not verify")
