"""What a node sends in consensus: a new block, and everything again after a standstill (C1, C9, C16)."""

from dataclasses import dataclass
from typing import Final

from protocol.blocks import BeaconProof, BlockHeader, compute_operations_root, compute_reveal, sign_block
from protocol.codec import encode_union
from protocol.consensus.checks import ConsensusConfig
from protocol.consensus.own_votes import OwnVotes
from protocol.consensus.tree import BlockTree, Tip
from protocol.gossip import Topic
from protocol.interface import Broadcast
from protocol.messages import Certificates, ConsensusMessage, Proposal, Votes
from protocol.units import Height, Millis, View
from protocol.votes import Certificate, Vote

GOSSIP_AGAIN_MAX: Final = 48
"""Votes, and certificates, that one standstill message repeats at most (C9)."""

JUSTIFICATION_BYTES_MAX: Final = 65_536
"""About how much of a proposal its nullifications may take."""

HELP_BYTES_MAX: Final = 131_072
"""About how large a message of certificates may become."""

SIGNATURE_BYTES: Final = 66
CERTIFICATE_BYTES: Final = 128
"""Encoded sizes: of one signature, and at most of the rest of a certificate of some hundred validators."""

HELP_INTERVAL_MS: Final = Millis(1_000)
"""Stragglers are answered at most this often (C16)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockContent:
    """What a leader puts into a block."""

    operations: tuple[bytes, ...]
    beacon: BeaconProof | None


def build_proposal(
    config: ConsensusConfig, tree: BlockTree, view: View, parent: Tip, content: BlockContent, now_ms: Millis
) -> Proposal:
    """Return a signed block on a parent, with the certificates that justify it (C1, C2)."""
    operations = content.operations
    header = BlockHeader(
        epoch=config.validators.epoch,
        view=view,
        parent_view=parent.view,
        parent_hash=parent.block_hash,
        height=Height(parent.height + 1),
        time_ms=Millis(max(now_ms, parent.time_ms + 1)),
        operations_root=compute_operations_root(operations),
        reveal=compute_reveal(config.chain_id, config.bls_key, config.validators.epoch, view),
        leader=config.key.member,
        beacon=content.beacon,
    )
    if parent.block_hash != tree.tip.block_hash:
        certificate: Certificate | None = tree.notarizations[parent.view]
    elif tree.tip_certificate is not None and tree.tip_certificate.epoch == config.validators.epoch:
        certificate = tree.tip_certificate
    else:
        # Genesis, or the last block of the epoch before, which everybody in this epoch has.
        certificate = None
    return Proposal(
        block=sign_block(config.chain_id, config.key, header, operations),
        parent_certificate=certificate,
        nullifications=take_newest(
            [tree.nullifications[View(between)] for between in range(parent.view + 1, view)], JUSTIFICATION_BYTES_MAX
        ),
    )


def take_newest(certificates: list[Certificate], bytes_max: int) -> tuple[Certificate, ...]:
    """Return as many of the last certificates as fit, about, into so many bytes; at least one.

    Whoever still lacks an older one of them gets it from :func:`build_help`, sooner or later.
    """
    taken: list[Certificate] = []
    size = 0
    for certificate in reversed(certificates):
        size += len(certificate.signatures) * SIGNATURE_BYTES + CERTIFICATE_BYTES
        if taken and size > bytes_max:
            break
        taken.append(certificate)
    return tuple(reversed(taken))


def build_broadcast(message: ConsensusMessage) -> Broadcast:
    """Return the effect that publishes a consensus message."""
    return Broadcast(topic=Topic.CONSENSUS, message=encode_union(message, ConsensusMessage))


def build_help(tree: BlockTree, attempt: int) -> list[Broadcast]:
    """Return the certificates that bring a straggler to our view, the finalized tip's last (C16)."""
    held = [*tree.notarizations.values(), *tree.nullifications.values(), *tree.finalizations.values()]
    held.sort(key=lambda certificate: (certificate.view, certificate.kind))
    tip = tree.tip_certificate
    messages: list[list[Certificate]] = []
    if tip is not None and held and tip.epoch != held[0].epoch:
        # A message is of one epoch: the last block of the epoch before goes by itself (C13).
        messages.append([tip])
    elif tip is not None:
        held.append(tip)
    messages += choose_chunks(held, attempt)
    return [build_broadcast(Certificates(certificates=tuple(chunk), attempt=attempt)) for chunk in messages]


def choose_chunks(certificates: list[Certificate], attempt: int) -> list[list[Certificate]]:
    """Return the newest certificates that fit into one message, and before them others of which it is the turn.

    A straggler needs all of them to vote for a block on an old parent (C2), however many there are.
    """
    if not certificates:
        return []
    size = max(len(certificate.signatures) for certificate in certificates) * SIGNATURE_BYTES + CERTIFICATE_BYTES
    count = max(1, min(GOSSIP_AGAIN_MAX, HELP_BYTES_MAX // size))
    older, newest = certificates[:-count], certificates[-count:]
    turns = [older[start : start + count] for start in range(0, len(older), count)]
    return [turns[attempt % len(turns)], newest] if turns else [newest]


class Outgoing:
    """New votes, sent together at the end of a step, and what is sent again on purpose."""

    def __init__(self, started_ms: Millis) -> None:
        """Count re-sends from the start time, so that no re-send of an earlier start has the same bytes (W4)."""
        self._attempt = int(started_ms)
        self._votes: list[Vote] = []
        self._helped_ms = Millis(0)
        self._is_help_wanted = False

    def add(self, vote: Vote) -> None:
        """Send a new vote with the next flush."""
        self._votes.append(vote)

    def want_help(self) -> None:
        """Somebody seems to have fallen behind: send certificates with the next flush, but not too often."""
        self._is_help_wanted = True

    def build_standstill(self, own: OwnVotes, tree: BlockTree, view: View) -> list[Broadcast]:
        """Return my proposal, all my votes and certificates above the tip; the newest if there are too many (C9)."""
        self._attempt += 1
        messages: list[Broadcast] = []
        if own.proposal is not None and own.proposal.block.header.view == view:
            messages.append(build_broadcast(own.proposal))
        votes = own.get_all()[-GOSSIP_AGAIN_MAX:]
        if votes:
            messages.append(build_broadcast(Votes(votes=votes, attempt=self._attempt)))
        return messages + build_help(tree, self._attempt)

    def flush(self, tree: BlockTree, now_ms: Millis) -> list[Broadcast]:
        """Return the new votes in one message, and help if it is wanted."""
        messages: list[Broadcast] = []
        if self._votes:
            messages.append(build_broadcast(Votes(votes=tuple(self._votes), attempt=0)))
            self._votes.clear()
        has_helped = self._helped_ms <= now_ms < self._helped_ms + HELP_INTERVAL_MS
        if self._is_help_wanted and not has_helped:
            self._helped_ms = now_ms
            self._attempt += 1
            messages.extend(build_help(tree, self._attempt))
        self._is_help_wanted = False
        return messages
