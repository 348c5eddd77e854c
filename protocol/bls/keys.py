"""BLS keys and signatures on BLS12-381 (L1, B5).

Public keys lie on G2 (96 bytes), signatures on G1 (48 bytes), as in drand's scheme ``bls-unchained-g1-rfc9380``;
messages are hashed to G1 by RFC 9380. The ciphersuite tags are those of the IETF draft on BLS signatures (section
4.2).
"""

from typing import Final

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

from protocol.bls.encryption import compute_shared_point, prove_shared_point
from protocol.bls.points import decode_public_key, decode_signature
from protocol.crypto import Domain, compute_sign_bytes
from protocol.errors import InvalidMessage
from protocol.units import BlsPublicKey, BlsSignature, Digest

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
        self.public_key = BlsPublicKey(bytes((G2Point() * self._scalar).to_compressed_bytes()))

    def sign(self, domain: Domain, chain_id: Digest, message: bytes) -> BlsSignature:
        """Return the unique signature over a message, under a domain and a chain."""
        return self._sign(compute_sign_bytes(domain, chain_id, message), SIGNATURE_TAG)

    def prove_possession(self) -> BlsSignature:
        """Return the signature over the own public key that shows this key is known to its holder."""
        return self._sign(self.public_key, POSSESSION_TAG)

    def compute_shared_point(self, ephemeral_key: BlsPublicKey) -> BlsPublicKey:
        """Return the point that this key and the holder of an ephemeral one can compute, and nobody else (B4).

        Raises:
            InvalidMessage: The ephemeral key is no point of the group.
        """
        return compute_shared_point(self._scalar, ephemeral_key)

    def prove_shared_point(self, ephemeral_key: BlsPublicKey, context: bytes) -> bytes:
        """Return the proof that :meth:`compute_shared_point` gave that point, for everybody to check (B4)."""
        return prove_shared_point(self._scalar, self.public_key, ephemeral_key, context)

    def _sign(self, message: bytes, tag: bytes) -> BlsSignature:
        point = G1Point.hash_to_curve(message, tag) * self._scalar
        return BlsSignature(bytes(point.to_compressed_bytes()))


def check_bls_signature(
    public_key: BlsPublicKey, domain: Domain, chain_id: Digest, message: bytes, signature: BlsSignature
) -> None:
    """Check a signature under a domain and a chain.

    Raises:
        InvalidMessage: The key or the signature is no valid point, or the signature is not this key's.
    """
    _check(public_key, compute_sign_bytes(domain, chain_id, message), SIGNATURE_TAG, signature)


def check_possession(public_key: BlsPublicKey, proof: BlsSignature) -> None:
    """Check a proof of possession (L1).

    Raises:
        InvalidMessage: It does not prove that the holder knows the secret key.
    """
    _check(public_key, public_key, POSSESSION_TAG, proof)


def _check(public_key: BlsPublicKey, message: bytes, tag: bytes, signature: BlsSignature) -> None:
    key_point, signature_point = decode_public_key(public_key), decode_signature(signature)
    hashed = G1Point.hash_to_curve(message, tag)
    if not GT.pairing_check([signature_point, -hashed], [G2Point(), key_point]):
        raise InvalidMessage("a BLS signature does not verify")
