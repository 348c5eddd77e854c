"""BLS12-381: keys, signatures, threshold signatures and dealt shares; the only door to the curve library (B6, B7)."""

from protocol.bls.encryption import (
    check_knowledge,
    check_shared_point,
    encrypt_share,
    open_with_shared_point,
    prove_knowledge,
)
from protocol.bls.keys import BlsSigningKey, check_bls_signature, check_possession
from protocol.bls.points import decode_public_key, decode_signature
from protocol.bls.scalars import add_scalars, decode_scalar, derive_scalar, multiply_generator
from protocol.bls.sharing import (
    Polynomial,
    add_commitments,
    check_share,
    compute_share_key,
    derive_polynomial,
    find_wrong_shares,
)
from protocol.bls.threshold import check_output, check_partial, combine, compute_randomness, sign_partial

__all__ = [
    "BlsSigningKey",
    "check_bls_signature",
    "check_possession",
    "decode_public_key",
    "decode_signature",
    "decode_scalar",
    "derive_scalar",
    "add_scalars",
    "multiply_generator",
    "Polynomial",
    "derive_polynomial",
    "add_commitments",
    "check_share",
    "compute_share_key",
    "find_wrong_shares",
    "encrypt_share",
    "open_with_shared_point",
    "check_shared_point",
    "prove_knowledge",
    "check_knowledge",
    "sign_partial",
    "check_partial",
    "combine",
    "check_output",
    "compute_randomness",
]
