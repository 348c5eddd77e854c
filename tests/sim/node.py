"""A simulated node: a disk that outlives crashes, and on it an engine, or an adversary that holds a member's keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from protocol.blocks import Block
from protocol.engine import Engine
from protocol.gossip import Topic
from protocol.interface import Effect, FinalizedBlock, Input
from protocol.units import Digest, Height, MemberId, Millis
from protocol.votes import Vote
from tests.sim.disk import Disk
from tests.sim.keys import NodeKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class SendTo:
    """What only an adversary does: tell some nodes something that the others don't hear."""

    receivers: tuple[int, ...]
    topic: Topic
    message: bytes


Action: TypeAlias = Effect | SendTo


class Adversary(Protocol):
    """A member that does what it likes."""

    def start(self, now_ms: Millis) -> Sequence[Action]:
        """Return what to do first."""
        ...

    def on_gossip(self, sender: int, topic: Topic, message: bytes, now_ms: Millis) -> Sequence[Action]:
        """Take a message from a node."""
        ...

    def handle(self, event: Input, now_ms: Millis) -> Sequence[Action]:
        """Take any other input."""
        ...

    def serve_blocks(self, from_height: Height) -> tuple[FinalizedBlock, ...]:
        """Answer a node that asks for final blocks."""
        ...

    def get_unfinalized_block(self, block_hash: Digest) -> Block | None:
        """Answer a node that asks for the body of an unfinalized block."""
        ...

    def get_votes_seen(self, member: MemberId) -> tuple[Vote, ...] | None:
        """Answer a node that asks which of its votes this one has seen; None keeps it waiting."""
        ...


@runtime_checkable
class Giver(Protocol):
    """An adversary that chooses to whom it gives bodies and artifacts; the others give them to everybody."""

    def gives(self, requester: int, digest: Digest) -> bool:
        """Return whether a node gets a body or an artifact that it asks for."""
        ...


@dataclass(slots=True)
class SimNode:
    """One node: an engine or an adversary while it is up, a disk always."""

    index: int
    keys: NodeKeys
    disk: Disk
    skew_ms: int
    """How far this node's clock is ahead of true time."""
    engine: Engine | None = None
    adversary: Adversary | None = None
    timer_ms: int | None = None
    """When its timer goes off, by its own clock."""
    incarnation: int = 0
    contacts: frozenset[MemberId] | None = None
    """The members that may connect to it (L1); None lets everybody."""
    is_retired: bool = False
    """Whether it was switched off for good."""
    is_honest: bool = True

    @property
    def member(self) -> MemberId:
        """The member that runs this node."""
        return self.keys.key.member

    def is_up(self) -> bool:
        """Return whether the node runs."""
        return self.engine is not None or self.adversary is not None

    def accepts(self, other: "SimNode") -> bool:
        """Return whether this node and another one may be connected."""
        return all(
            one.contacts is None or another.member in one.contacts for one, another in ((self, other), (other, self))
        )

    def gives(self, requester: int, digest: Digest) -> bool:
        """Return whether this node gives a body or an artifact that it holds to another node."""
        return not isinstance(self.adversary, Giver) or self.adversary.gives(requester, digest)
