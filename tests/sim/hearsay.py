"""What a member that was restored from an old backup can learn of its own votes (C10).

Nothing on its disk tells that it is old, so the others are asked. They tell what they have heard since their own last
start, and what the certificates on their disks hold. A vote that none of those who answered had heard, or that all of
them forgot when they were restarted, is lost to the member: what it signs against such a vote is not its fault, and no
rule promises that it does not happen (docs/decisions/0016-witnesses.md). Kept from what the network delivers, and not
from what the nodes say that they have seen: that is what is under test.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import cast

from protocol.codec import decode_union
from protocol.errors import InvalidMessage, MalformedMessage
from protocol.gossip import Topic
from protocol.journal import CertificateRecord
from protocol.messages import Certificates, ConsensusMessage, Proposal, Votes
from protocol.units import Epoch
from protocol.validators import ValidatorSet
from protocol.votes import Certificate, Vote, split_certificate
from tests.sim.node import SimNode


class Hearsay:
    """Which votes of one member each running node has heard of."""

    def __init__(self, validators: dict[Epoch, ValidatorSet]) -> None:
        """Watch nobody; the validators are those of every epoch that a node has come to."""
        self._validators = validators
        self._watched: SimNode | None = None
        self._heard: dict[int, set[Vote]] = {}

    def watch(self, node: SimNode) -> None:
        """Keep from now on what is heard of a node's votes."""
        self._watched = node

    def on_boot(self, node: SimNode) -> None:
        """Begin a life, with what the disk holds."""
        records = [record for record in node.disk.records if isinstance(record, CertificateRecord)]
        self._heard[node.index] = set()
        self._add(node, (), [record.certificate for record in records])

    def on_message(self, node: SimNode, topic: Topic, message: bytes) -> None:
        """Take what the network delivers to a node, or what it says itself."""
        if self._watched is None or topic is not Topic.CONSENSUS:
            return
        with suppress(MalformedMessage, InvalidMessage):
            match cast(ConsensusMessage, decode_union(ConsensusMessage, message, bytes_max=len(message))):
                case Votes(votes=votes):
                    self._add(node, votes, ())
                case Certificates(certificates=certificates):
                    self._add(node, (), certificates)
                case Proposal(parent_certificate=parent, nullifications=nullifications):
                    self._add(node, (), [*nullifications, *([] if parent is None else [parent])])

    def on_answer(self, node: SimNode, witness: SimNode) -> None:
        """Let a node learn what one of the others knows."""
        if node is self._watched:
            self._heard[node.index] |= self._heard.get(witness.index, set())

    def is_forgotten(self, vote: Vote) -> bool:
        """Return whether the member that signed a vote cannot know of it any more."""
        node = self._watched
        if node is None or vote.member != node.member:
            return False
        return vote not in node.disk.votes and vote not in self._heard[node.index]

    def _add(self, node: SimNode, votes: Sequence[Vote], certificates: Sequence[Certificate]) -> None:
        if self._watched is None:
            return
        split = [
            vote
            for certificate in certificates
            if certificate.epoch in self._validators
            for vote in split_certificate(self._validators[certificate.epoch], certificate)
        ]
        told = {vote for vote in (*votes, *split) if vote.member == self._watched.member}
        self._heard.setdefault(node.index, set()).update(told)
