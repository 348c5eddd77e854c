"""What makes a proposal, a fetched chain or a certificate acceptable: checks without any voting.

Rules C2, C3, C8 and C14, B5 for the reveal and B2 for the beacon's output.
"""

from dataclasses import dataclass
from typing import Protocol

from protocol.beacon.group_key import GroupKey, check_proof
from protocol.blocks import (
    BeaconProof,
    Block,
    BlockHeader,
    check_block_signature,
    check_reveal,
    compute_block_hash,
    compute_operations_root,
)
from protocol.bls import BlsSigningKey
from protocol.consensus.tree import BlockTree, Tip
from protocol.crypto import SigningKey
from protocol.epochs import compute_last_height
from protocol.errors import InvalidBlock, InvalidMessage, ProtocolError
from protocol.evidence import Evidence, build_proposal_evidence
from protocol.finality import check_finalization
from protocol.interface import FinalizedBlock
from protocol.messages import Proposal
from protocol.parameters import Parameters
from protocol.units import Digest, Height, Millis
from protocol.validators import ValidatorSet
from protocol.votes import Certificate, VoteKind, check_certificate


class Application(Protocol):
    """What consensus asks of the one who gives operations a meaning."""

    def collect_operations(self, branch: tuple[Block, ...]) -> tuple[bytes, ...]:
        """Return operations to order next, on top of the unfinalized blocks of ``branch``."""
        ...

    def get_beacon_proof(self, branch: tuple[Block, ...]) -> BeaconProof | None:
        """Return the beacon's output to put into the next block, if there is one that no block of ``branch`` has."""
        ...

    def check_operations(self, block: Block) -> None:
        """Check a block's operations by themselves: size, shape, signatures.

        Raises:
            ProtocolError: The block is invalid whatever the ledger's state is.
        """
        ...

    def fetch_missing_artifacts(self, block: Block) -> bool:
        """Return whether artifacts that the block names are not held yet, and ask for those (F3)."""
        ...

    def has_work(self, branch: tuple[Block, ...], now_ms: Millis) -> bool:
        """Return whether there is something to order on top of ``branch``, or a deadline has passed (C12)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsensusConfig:
    """Who this node is and what it must agree with others on."""

    chain_id: Digest
    parameters: Parameters
    validators: ValidatorSet
    key: SigningKey
    bls_key: BlsSigningKey
    started_ms: Millis
    beacon_keys: tuple[GroupKey, ...] = ()
    """The group keys in use: they change between epochs only (B4)."""

    @property
    def last_height(self) -> Height:
        """The height of the epoch's last block (C13)."""
        return compute_last_height(self.parameters, self.validators.epoch)


def check_proposal(config: ConsensusConfig, tree: BlockTree, proposal: Proposal) -> None:
    """Check what of a proposal does not depend on what else this node knows; its signature is checked before.

    Raises:
        InvalidMessage: Wrong leader or epoch, a parent that is not below, operations that are not those of the header,
            or a wrong certificate.
    """
    header, validators = proposal.block.header, config.validators
    if header.epoch != validators.epoch or header.leader != validators.compute_leader(header.view):
        raise InvalidMessage(f"member {header.leader.hex()[:8]} does not lead view {header.view}")
    if header.parent_view >= header.view:
        raise InvalidMessage(f"a block of view {header.view} on a parent of view {header.parent_view}")
    if header.height > config.last_height:
        raise InvalidMessage(f"a block of height {header.height} after the last one of epoch {header.epoch}")
    if compute_operations_root(proposal.block.operations) != header.operations_root:
        raise InvalidMessage("operations do not match their root")
    parent = proposal.parent_certificate
    if parent is not None:
        if parent.kind is VoteKind.NULLIFY:
            raise InvalidMessage("the parent's certificate is a nullification")
        if (parent.view, parent.block_hash) != (header.parent_view, header.parent_hash):
            raise InvalidMessage("the certificate is not the parent's")
        _check_new_certificate(config, tree, parent)
    for certificate in proposal.nullifications:
        if certificate.kind is not VoteKind.NULLIFY:
            raise InvalidMessage("a justification is no nullification")
        _check_new_certificate(config, tree, certificate)


def find_conflict(known: Block, other: Block) -> Evidence | None:
    """Return the evidence if one leader signed both blocks, of one view, and they differ (L7)."""
    first, second = known.header, other.header
    if first == second or (first.leader, first.epoch) != (second.leader, second.epoch):
        return None
    return build_proposal_evidence(first, known.signature, second, other.signature)


def check_fits_parent(config: ConsensusConfig, tree: BlockTree, header: BlockHeader) -> None:
    """Check that a block of the current view fits its parent (C2, C3).

    Raises:
        InvalidBlock: It does not, or not yet: a certificate or a body may still be missing.
    """
    if not tree.is_notarized(header.parent_view, header.parent_hash):
        raise InvalidBlock(header.height, "the parent is not notarized")
    if not tree.are_nullified_between(header.parent_view, header.view):
        raise InvalidBlock(header.height, "a view between parent and block is not nullified")
    parent = tree.get_block_tip(header.parent_view, header.parent_hash)
    if parent is None or tree.get_branch(header.parent_hash) is None:
        raise InvalidBlock(header.height, "the parent's branch is not known")
    _check_child(parent, header)
    bls_key = config.validators.get_validator(header.leader).bls_key
    check_reveal(config.chain_id, bls_key, header)
    if header.beacon is not None:
        check_proof(config.beacon_keys, header.beacon)


def is_votable(
    config: ConsensusConfig,
    tree: BlockTree,
    application: Application,
    block: Block,
    *,
    now_ms: Millis,
    failures: int,
) -> bool:
    """Return whether the block of the current view can be voted for now; artifacts that are missing are asked for (C3).

    What it still lacks may come: a certificate, a body, an artifact, or a time that is near enough.
    """
    if not is_near_clock(config, block.header, now_ms, failures) or application.fetch_missing_artifacts(block):
        return False
    try:
        check_fits_parent(config, tree, block.header)
    except ProtocolError:
        return False
    return True


def check_body(config: ConsensusConfig, block: Block) -> None:
    """Check what a block's hash does not cover: its operations, and its leader's signature.

    Raises:
        InvalidMessage: One of them is not what the leader published.
    """
    if compute_operations_root(block.operations) != block.header.operations_root:
        raise InvalidMessage(f"the operations of fetched block {block.header.height} are not those of its header")
    check_block_signature(config.chain_id, block.header, block.signature)


def is_near_clock(config: ConsensusConfig, header: BlockHeader, now_ms: Millis, failures: int) -> bool:
    """Return whether a block's time is near enough to our clock; the bound grows with failed views (C8)."""
    return abs(header.time_ms - now_ms) <= config.parameters.clock_drift_max_ms * (1 + failures)


def check_fetched_chain(config: ConsensusConfig, tip: Tip, blocks: tuple[FinalizedBlock, ...]) -> Certificate:
    """Return the certificate that authenticates fetched blocks of one epoch, after checking their chain (C14).

    Raises:
        InvalidMessage: They are not, the last one has no finalization, or a certificate is wrong.
    """
    parent_hash, height = tip.block_hash, tip.height
    for entry in blocks:
        header = entry.block.header
        height = Height(height + 1)
        if header.parent_hash != parent_hash or header.height != height:
            raise InvalidMessage(f"fetched block {header.height} does not follow height {height - 1}")
        if header.epoch != config.validators.epoch or height > config.last_height:
            raise InvalidMessage(f"fetched block {header.height} is not of epoch {config.validators.epoch}")
        check_body(config, entry.block)
        parent_hash = compute_block_hash(config.chain_id, header)
        if entry.certificate is not None:
            check_finalization(config.parameters, header, parent_hash, entry.certificate)
            check_certificate(config.chain_id, config.validators, entry.certificate)
    last = blocks[-1].certificate
    if last is None:
        raise InvalidMessage("fetched blocks end without a finalization")
    return last


def _check_child(parent: Tip, header: BlockHeader) -> None:
    if header.height != parent.height + 1:
        raise InvalidBlock(header.height, f"the parent's height is {parent.height}")
    if header.time_ms <= parent.time_ms:
        raise InvalidBlock(header.height, "its time is not above the parent's")


def _check_new_certificate(config: ConsensusConfig, tree: BlockTree, certificate: Certificate) -> None:
    if certificate.view > tree.tip.view and not tree.has_certificate(certificate):
        check_certificate(config.chain_id, config.validators, certificate)
