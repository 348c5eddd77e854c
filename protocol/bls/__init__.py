"""BLS12-381, the only door to its library (B6, B7): keys and signatures, and what a threshold beacon needs (B1, B4)."""

from protocol.bls.keys import POSSESSION_TAG, SIGNATURE_TAG, BlsSigningKey, check_bls_signature, check_possession
from protocol.bls.points import decode_public_key, decode_signature

__all__ = [
    "POSSESSION_TAG",
    "SIGNATURE_TAG",
    "BlsSigningKey",
    "check_bls_signature",
    "check_possession",
    "decode_public_key",
    "decode_signature",
]
