"""A dealer's shares, posted for all to see and readable by one each, and complaints that anybody can check (B4).

The dealer has one ephemeral key per deal. Its secret times a recipient's public key is the same point as the
recipient's secret times the ephemeral key (ElGamal); a hash of that shared point is the pad over the share. A recipient
that was dealt a wrong share reveals the shared point of this one deal, with a proof that it is the right one; anybody
then opens the ciphertext and checks the share against the commitments. Nothing else is revealed, and a lie of either
side shows.

Shares are scalars below the group order, a pad is 32 bytes of hash: a pad is used once, because context and index are
in the hash and an ephemeral key belongs to one deal.
"""

from dataclasses import dataclass

from protocol.bls.keys import BlsSigningKey
from protocol.bls.points import GENERATOR, decode_public_key, encode_public_key
from protocol.bls.proofs import SharedPointClaim, check_shared_point
from protocol.bls.scalars import decode_scalar, derive_scalar, load_scalar
from protocol.crypto import Domain, compute_digest
from protocol.errors import InvalidMessage
from protocol.units import BlsProof, BlsPublicKey, BlsScalar, EncryptedShare, SharedPoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """A recipient's shared point with one deal, and the proof that it is."""

    shared_point: SharedPoint
    proof: BlsProof


def derive_ephemeral_secret(secret_seed: bytes) -> BlsScalar:
    """Return the secret of a deal's ephemeral key, from the same secret seed as the deal's polynomial.

    Raises:
        ValueError: The seed is shorter than 32 bytes.
    """
    if len(secret_seed) < 32:
        raise ValueError("an ephemeral secret needs a seed of at least 32 bytes")
    return derive_scalar(Domain.EPHEMERAL, secret_seed)


def compute_ephemeral_key(ephemeral_secret: BlsScalar) -> BlsPublicKey:
    """Return the public part of an ephemeral key, which the dealer posts with a proof of knowledge."""
    return encode_public_key(GENERATOR * load_scalar(ephemeral_secret))


def compute_dealt_point(ephemeral_secret: BlsScalar, recipient: BlsPublicKey) -> SharedPoint:
    """Return what a deal's ephemeral key and a recipient's have in common, as the dealer computes it.

    Raises:
        InvalidMessage: The recipient's key is no valid point.
    """
    return SharedPoint(encode_public_key(decode_public_key(recipient) * load_scalar(ephemeral_secret)))


def encrypt_share(
    ephemeral_secret: BlsScalar, recipient: BlsPublicKey, share: BlsScalar, context: bytes, index: int
) -> EncryptedShare:
    """Return a share under the pad of its recipient.

    Args:
        ephemeral_secret: The deal's.
        recipient: The recipient's long-term key.
        share: What it gets.
        context: What names this one deal.
        index: The recipient's.

    Raises:
        InvalidMessage: The recipient's key is no valid point.
    """
    return EncryptedShare(_apply_pad(share, compute_dealt_point(ephemeral_secret, recipient), context, index))


def decrypt_share(
    key: BlsSigningKey, ephemeral_key: BlsPublicKey, ciphertext: EncryptedShare, context: bytes, index: int
) -> BlsScalar:
    """Return the share that a deal holds for the owner of a key; whether it is the right one, the commitments say.

    Raises:
        InvalidMessage: The ephemeral key is no valid point, or what was encrypted is no scalar.
    """
    return open_with_shared_point(key.compute_shared_point(ephemeral_key), ciphertext, context, index)


def open_with_shared_point(
    shared_point: SharedPoint, ciphertext: EncryptedShare, context: bytes, index: int
) -> BlsScalar:
    """Return the share in a ciphertext, by the shared point that a complaint revealed.

    Raises:
        InvalidMessage: What was encrypted is no scalar: the dealer's fault if the shared point was proven.
    """
    return decode_scalar(_apply_pad(ciphertext, shared_point, context, index))


def build_complaint(key: BlsSigningKey, ephemeral_key: BlsPublicKey, context: bytes, index: int) -> Complaint:
    """Return the complaint of a recipient about a deal.

    Raises:
        InvalidMessage: The ephemeral key is no valid point; then anybody sees that without a complaint.
    """
    return Complaint(
        shared_point=key.compute_shared_point(ephemeral_key),
        proof=key.prove_shared_point(ephemeral_key, _bind_complaint(context, index)),
    )


def check_complaint(
    complaint: Complaint, recipient: BlsPublicKey, ephemeral_key: BlsPublicKey, context: bytes, index: int
) -> None:
    """Check that a complaint reveals the true shared point; whether it is justified shows once the share is open.

    Raises:
        InvalidMessage: It does not, or belongs to another deal, recipient or index.
    """
    claim = SharedPointClaim(public_key=recipient, other_key=ephemeral_key, shared_point=complaint.shared_point)
    check_shared_point(claim, complaint.proof, _bind_complaint(context, index))


def _bind_complaint(context: bytes, index: int) -> bytes:
    return compute_digest(Domain.COMPLAINT, context, index.to_bytes(4, "big"))


def _apply_pad(text: bytes, shared_point: SharedPoint, context: bytes, index: int) -> bytes:
    pad = compute_digest(Domain.SHARE_PAD, context, index.to_bytes(4, "big"), shared_point)
    if len(text) != len(pad):
        raise InvalidMessage(f"an encrypted share has {len(pad)} bytes, not {len(text)}")
    return bytes(left ^ right for left, right in zip(text, pad, strict=True))
