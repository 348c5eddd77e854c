"""BLS12-381, the only door to its library (B6, B7): keys and signatures, and what a threshold beacon needs (B1, B4)."""

from protocol.bls.encryption import (
    Complaint,
    build_complaint,
    check_complaint,
    compute_ephemeral_key,
    decrypt_share,
    derive_ephemeral_secret,
    encrypt_share,
    open_with_shared_point,
)
from protocol.bls.keys import POSSESSION_TAG, SIGNATURE_TAG, BlsSigningKey, check_bls_signature, check_possession
from protocol.bls.points import decode_public_key, decode_signature
from protocol.bls.proofs import check_knowledge, prove_knowledge
from protocol.bls.sharing import (
    Polynomial,
    add_commitments,
    add_scalars,
    check_commitments,
    check_share,
    compute_commitments,
    compute_share_key,
    derive_polynomial,
)
from protocol.bls.threshold import SCHEME, check_output, check_partial, combine, compute_randomness, sign_partial

__all__ = [
    "POSSESSION_TAG",
    "SIGNATURE_TAG",
    "BlsSigningKey",
    "check_bls_signature",
    "check_possession",
    "decode_public_key",
    "decode_signature",
    "Polynomial",
    "derive_polynomial",
    "compute_commitments",
    "check_commitments",
    "add_commitments",
    "check_share",
    "compute_share_key",
    "add_scalars",
    "prove_knowledge",
    "check_knowledge",
    "derive_ephemeral_secret",
    "compute_ephemeral_key",
    "encrypt_share",
    "decrypt_share",
    "open_with_shared_point",
    "Complaint",
    "build_complaint",
    "check_complaint",
    "SCHEME",
    "sign_partial",
    "check_partial",
    "combine",
    "check_output",
    "compute_randomness",
]
