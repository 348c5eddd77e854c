"""Blocks: what consensus orders. Operations are opaque bytes here; the ledger judges them.

The block of height 0 is the genesis document; its hash is the chain id and its view is 0.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from protocol.bls import BlsSigningKey, check_bls_signature
from protocol.codec import encode
from protocol.crypto import Domain, SigningKey, check_signature, compute_digest
from protocol.units import BlsPublicKey, BlsSignature, Digest, Epoch, Height, MemberId, Millis, Round, Signature, View

GENESIS_HEIGHT: Final = Height(0)
GENESIS_VIEW: Final = View(0)

HASHES_REMEMBERED: Final = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class BeaconProof:
    """The threshold beacon's output for a round: a signature that anybody can verify (B1)."""

    round: Round
    key_epoch: Epoch
    """Which group key verifies it: that of the epoch with which it came into use (B4)."""
    signature: BlsSignature


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockHeader:
    """What a block's hash covers."""

    epoch: Epoch
    view: View
    parent_view: View
    parent_hash: Digest
    height: Height
    time_ms: Millis
    """Ledger time; strictly above the parent's (C8)."""
    operations_root: Digest
    reveal: BlsSignature
    """The leader's signature over (chain id, epoch, view): its share of the RANDAO mix (B5)."""
    leader: MemberId
    beacon: BeaconProof | None = None
    """The output for which the open round waits, as soon as the leader has it (B2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A header with its operations, signed by the leader."""

    header: BlockHeader
    operations: tuple[bytes, ...]
    """Encoded signed operations, in the order of execution."""
    signature: Signature
    """The leader's, over the block hash."""


def compute_operations_root(operations: tuple[bytes, ...]) -> Digest:
    """Return the digest that binds a block's operations and their order."""
    return compute_digest(Domain.OPERATIONS_ROOT, *operations)


@lru_cache(maxsize=HASHES_REMEMBERED)
def compute_block_hash(chain_id: Digest, header: BlockHeader) -> Digest:
    """Return the hash that names a block; asked for several times on each block's way, so remembered for a while."""
    return compute_digest(Domain.BLOCK, chain_id, encode(header))


def compute_reveal_message(epoch: Epoch, view: View) -> bytes:
    """Return what a leader signs as its reveal (B5): epoch and view, u64 big-endian each."""
    return epoch.to_bytes(8, "big") + view.to_bytes(8, "big")


def compute_reveal(chain_id: Digest, key: BlsSigningKey, epoch: Epoch, view: View) -> BlsSignature:
    """Return the leader's unique reveal of a view (B5)."""
    return key.sign(Domain.REVEAL, chain_id, compute_reveal_message(epoch, view))


def check_reveal(chain_id: Digest, key: BlsPublicKey, header: BlockHeader) -> None:
    """Check a header's reveal (B5).

    Raises:
        InvalidMessage: It is not the leader's signature over this epoch and view.
    """
    message = compute_reveal_message(header.epoch, header.view)
    check_bls_signature(key, Domain.REVEAL, chain_id, message, header.reveal)


def sign_block(chain_id: Digest, key: SigningKey, header: BlockHeader, operations: tuple[bytes, ...]) -> Block:
    """Return the block with its leader's signature."""
    block_hash = compute_block_hash(chain_id, header)
    return Block(header=header, operations=operations, signature=key.sign(Domain.PROPOSAL, chain_id, block_hash))


def check_block_signature(chain_id: Digest, header: BlockHeader, signature: Signature) -> None:
    """Check that the leader named in a header signed it.

    Raises:
        InvalidMessage: It did not.
    """
    block_hash = compute_block_hash(chain_id, header)
    check_signature(header.leader, Domain.PROPOSAL, chain_id, block_hash, signature)
