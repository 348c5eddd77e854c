"""The blocks and certificates above the finalized tip, and which of them may be built on (C2).

Keeps what has been checked; decides nothing about voting.
"""

from dataclasses import dataclass
from typing import Final

from protocol.blocks import Block, compute_block_hash
from protocol.interface import FinalizedBlock
from protocol.units import Digest, Height, Millis, View
from protocol.votes import Certificate, VoteKind

VIEW_WINDOW: Final = 64
"""Messages for views further ahead than this are not buffered (C15)."""

BLOCKS_MAX: Final = 256
"""Unfinalized block bodies kept at most; honest leaders make one per view (C15)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tip:
    """A block that can be built on, reduced to what its child must fit."""

    block_hash: Digest
    view: View
    height: Height
    time_ms: Millis


class BlockTree:
    """Block bodies by hash and certificates by view, above the finalized tip."""

    def __init__(self, chain_id: Digest, tip: Tip, tip_certificate: Certificate | None) -> None:
        """Start at a finalized tip; the certificate is None only for genesis."""
        self._chain_id = chain_id
        self.tip = tip
        self.tip_certificate = tip_certificate
        self.blocks: dict[Digest, Block] = {}
        self.notarizations: dict[View, Certificate] = {}
        self.nullifications: dict[View, Certificate] = {}
        self.finalizations: dict[View, Certificate] = {}

    def add_block(self, block: Block) -> Digest:
        """Keep a body and return its hash."""
        block_hash = compute_block_hash(self._chain_id, block.header)
        if block_hash not in self.blocks and len(self.blocks) < BLOCKS_MAX:
            self.blocks[block_hash] = block
        return block_hash

    def add_final(self, entry: FinalizedBlock) -> None:
        """Keep a checked final block from a peer, however many bodies are kept already, and its certificate."""
        self.blocks[compute_block_hash(self._chain_id, entry.block.header)] = entry.block
        if entry.certificate is not None:
            self.add_certificate(entry.certificate)

    def has_certificate(self, certificate: Certificate) -> bool:
        """Return whether a certificate of this kind is known for this view and block."""
        known = self._get_certificates(certificate.kind).get(certificate.view)
        if certificate.kind is VoteKind.FINALIZE and self.tip_certificate is not None and known is None:
            known = self.tip_certificate if self.tip_certificate.view == certificate.view else None
        return known is not None and known.block_hash == certificate.block_hash

    def add_certificate(self, certificate: Certificate) -> None:
        """Keep a checked certificate; the first one of a kind and view stays."""
        self._get_certificates(certificate.kind).setdefault(certificate.view, certificate)

    def get_highest_notarized_view(self) -> View:
        """Return the highest view with a notarization, at least the tip's."""
        return max(self.notarizations, default=self.tip.view)

    def has_unfinalized(self) -> bool:
        """Return whether a block above the tip is notarized, or final without its body being here."""
        return self.get_highest_notarized_view() > self.tip.view or bool(self.finalizations)

    def get_block_tip(self, view: View, block_hash: Digest) -> Tip | None:
        """Return a block as something to build on, or None if its body is unknown."""
        if block_hash == self.tip.block_hash:
            return self.tip if view == self.tip.view else None
        block = self.blocks.get(block_hash)
        if block is None or block.header.view != view:
            return None
        header = block.header
        return Tip(block_hash=block_hash, view=view, height=header.height, time_ms=header.time_ms)

    def get_parent_tip(self, view: View, block_hash: Digest) -> Tip | None:
        """Return what :meth:`find_parent` found as something to build on, or None if its body is unknown.

        The last block of an epoch may have been notarized again in a view above its own (C13).
        """
        block = self.blocks.get(block_hash)
        return self.get_block_tip(view if block is None else min(view, block.header.view), block_hash)

    def is_notarized(self, view: View, block_hash: Digest) -> bool:
        """Return whether a block may be a parent: it is the tip or has a notarization."""
        if (view, block_hash) == (self.tip.view, self.tip.block_hash):
            return True
        certificate = self.notarizations.get(view)
        return certificate is not None and certificate.block_hash == block_hash

    def are_nullified_between(self, parent_view: View, view: View) -> bool:
        """Return whether every view strictly between two views is nullified (C2)."""
        return all(View(between) in self.nullifications for between in range(parent_view + 1, view))

    def find_parent(self, view: View) -> tuple[View, Digest] | None:
        """Return the parent for a view: the highest notarized one that only nullified views follow (C2)."""
        parent_view = View(view - 1)
        while parent_view > self.tip.view:
            certificate = self.notarizations.get(parent_view)
            if certificate is not None and certificate.block_hash is not None:
                return parent_view, certificate.block_hash
            if parent_view not in self.nullifications:
                return None
            parent_view = View(parent_view - 1)
        return (self.tip.view, self.tip.block_hash) if parent_view == self.tip.view else None

    def get_branch(self, block_hash: Digest) -> tuple[Block, ...] | None:
        """Return the blocks from above the tip to a block, ascending; None if one is missing or it does not descend."""
        branch: list[Block] = []
        cursor = block_hash
        while cursor != self.tip.block_hash:
            block = self.blocks.get(cursor)
            if block is None or block.header.height <= self.tip.height:
                return None
            branch.append(block)
            cursor = block.header.parent_hash
        return tuple(reversed(branch))

    def find_finalized_branch(self) -> tuple[tuple[Block, ...], Certificate] | None:
        """Return the branch to the highest finalized block whose bodies are all known, and its finalization."""
        for view in sorted(self.finalizations, reverse=True):
            certificate = self.finalizations[view]
            branch = None if certificate.block_hash is None else self.get_branch(certificate.block_hash)
            if branch:
                return branch, certificate
        return None

    def find_missing_body(self, block_hash: Digest) -> Digest | None:
        """Return the nearest ancestor-or-self above the tip whose body is unknown."""
        cursor = block_hash
        while cursor != self.tip.block_hash:
            block = self.blocks.get(cursor)
            if block is None:
                return cursor
            if block.header.height <= self.tip.height:
                return None
            cursor = block.header.parent_hash
        return None

    def find_missing_bodies(self) -> tuple[Digest, ...]:
        """Return the hashes of blocks that notarized ones need and whose bodies are unknown, without repetition."""
        hashes = (self.notarizations[view].block_hash for view in sorted(self.notarizations))
        missing = (None if block_hash is None else self.find_missing_body(block_hash) for block_hash in hashes)
        return tuple(dict.fromkeys(block_hash for block_hash in missing if block_hash is not None))

    def is_wanted(self, block_hash: Digest, view: View) -> bool:
        """Return whether a body belongs to a notarized block or to the parent of a known one.

        The view is part of the question, so that every body kept lies below a view in the window and is forgotten in
        time: a made-up parent of a far view would stay for good (C15).
        """
        if any(certificate.block_hash == block_hash for certificate in self.notarizations.values()):
            return True
        parents = ((child.header.parent_view, child.header.parent_hash) for child in self.blocks.values())
        return (view, block_hash) in parents

    def finalize(self, branch: tuple[Block, ...], certificate: Certificate) -> list[FinalizedBlock]:
        """Move the tip to the last block of a branch, forget everything up to its view, and return what became final.

        Blocks in the middle of the branch carry their own finalization if one is known.
        """
        final: list[FinalizedBlock] = []
        for block in branch[:-1]:
            block_hash = compute_block_hash(self._chain_id, block.header)
            held = self.finalizations.get(block.header.view)
            is_its_own = held is not None and held.block_hash == block_hash
            final.append(FinalizedBlock(block=block, certificate=held if is_its_own else None))
        final.append(FinalizedBlock(block=branch[-1], certificate=certificate))
        last = branch[-1].header
        self.tip = Tip(
            block_hash=compute_block_hash(self._chain_id, last),
            view=last.view,
            height=last.height,
            time_ms=last.time_ms,
        )
        self.tip_certificate = certificate
        self.blocks = {key: block for key, block in self.blocks.items() if block.header.view > last.view}
        for certificates in (self.notarizations, self.nullifications, self.finalizations):
            for view in [view for view in certificates if view <= last.view]:
                del certificates[view]
        return final

    def _get_certificates(self, kind: VoteKind) -> dict[View, Certificate]:
        match kind:
            case VoteKind.NOTARIZE:
                return self.notarizations
            case VoteKind.NULLIFY:
                return self.nullifications
            case VoteKind.FINALIZE:
                return self.finalizations
