"""Hashes and Ed25519 signatures, each under a domain tag (W2, B7).

PyNaCl (libsodium) is the one Ed25519 verifier: two verifiers that disagree on an edge case would split the ledger.
"""

import hashlib
from enum import Enum

import nacl.exceptions
import nacl.signing

from protocol.errors import InvalidMessage
from protocol.units import Digest, MemberId, Signature


class Domain(Enum):
    """What a hash or a signature is about; no two uses share a tag."""

    GENESIS = b"pnyx/1/genesis"
    CARD = b"pnyx/1/card"
    BLOCK = b"pnyx/1/block"
    PROPOSAL = b"pnyx/1/proposal"
    VOTE = b"pnyx/1/vote"
    OPERATION = b"pnyx/1/operation"
    OPERATIONS_ROOT = b"pnyx/1/operations-root"
    REVEAL = b"pnyx/1/reveal"
    MIX = b"pnyx/1/mix"
    LEADER = b"pnyx/1/leader"
    EPOCH = b"pnyx/1/epoch"
    ROLES = b"pnyx/1/roles"
    BALLOT = b"pnyx/1/ballot"
    SALT = b"pnyx/1/salt"
    CHUNK = b"pnyx/1/chunk"
    ARTIFACT = b"pnyx/1/artifact"
    STATE = b"pnyx/1/state"
    LINEAGE = b"pnyx/1/lineage"
    PARTIAL = b"pnyx/1/partial"
    DEAL = b"pnyx/1/deal"
    DEAL_SECRET = b"pnyx/1/deal-secret"
    SHARE_PAD = b"pnyx/1/share-pad"
    SHARES = b"pnyx/1/shares"
    NONCE = b"pnyx/1/nonce"
    CHALLENGE = b"pnyx/1/challenge"


def compute_digest(domain: Domain, *parts: bytes) -> Digest:
    """Return SHA-256 over the domain tag and the parts, each preceded by its length (u32, big-endian)."""
    hasher = hashlib.sha256()
    for part in (domain.value, *parts):
        hasher.update(len(part).to_bytes(4, "big"))
        hasher.update(part)
    return Digest(hasher.digest())


def compute_sign_bytes(domain: Domain, chain_id: Digest, message: bytes) -> bytes:
    """Return what a signature covers: the domain tag, the chain id and the message (W2)."""
    tag = domain.value
    return len(tag).to_bytes(1, "big") + tag + chain_id + message


class SigningKey:
    """A member's long-term Ed25519 key."""

    def __init__(self, seed: bytes) -> None:
        """Take the 32-byte seed that the key derives from (RFC 8032, section 5.1.5)."""
        self._key = nacl.signing.SigningKey(seed)
        self.member = MemberId(bytes(self._key.verify_key))

    def sign(self, domain: Domain, chain_id: Digest, message: bytes) -> Signature:
        """Return the signature over a message, under a domain and a chain."""
        return Signature(self._key.sign(compute_sign_bytes(domain, chain_id, message)).signature)


def check_signature(member: MemberId, domain: Domain, chain_id: Digest, message: bytes, signature: Signature) -> None:
    """Check that a member signed a message.

    Raises:
        InvalidMessage: It did not.
    """
    try:
        nacl.signing.VerifyKey(member).verify(compute_sign_bytes(domain, chain_id, message), signature)
    except (nacl.exceptions.CryptoError, ValueError) as error:
        raise InvalidMessage(f"wrong {domain.name.lower()} signature of member {member.hex()[:8]}") from error
