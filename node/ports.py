"""The ports of the shell: what the driver needs from the world, each with a real and a simulated implementation.

A contract suite under tests/contracts runs on both implementations of every port.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from protocol.gossip import Admission, Topic
from protocol.interface import FinalizedBlock, Persist, PersistBlock
from protocol.journal import Record, ScoreRecord
from protocol.outcomes import BlockOutcome, OperationResult, RoundRecord
from protocol.units import Digest, Height, MemberId, Millis, Ppm, Round

if TYPE_CHECKING:
    from protocol.ledger.state import LedgerState


class Service(StrEnum):
    """The request and response streams that a node serves (W5)."""

    SYNC = "sync"
    ARTIFACT = "artifact"
    STATUS = "status"


GossipHandler: TypeAlias = Callable[[Topic, MemberId, bytes], Admission]
"""Judges one gossip message synchronously; the member is the neighbour that delivered it, not the signer."""

SendFrame: TypeAlias = Callable[[bytes], Awaitable[None]]
"""Sends one frame of a response; waits while the requester is slow."""

ReceiveFrame: TypeAlias = Callable[[bytes], Awaitable[None]]
"""Takes one frame of a response."""

RequestHandler: TypeAlias = Callable[[MemberId, bytes, SendFrame], Awaitable[None]]
"""Serves one request: (requester, request, send). Returning ends the response; an error resets the stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStatus:
    """What the transport knows of one other member, for people."""

    member: MemberId
    is_connected: bool
    addresses: tuple[str, ...]
    """The multiaddresses dialled or seen, newest first."""
    bytes_received: int
    bytes_sent: int
    score: int
    """0 is good; each rejected message lowers it, and below the limit the peer is disconnected for a while."""
    round_trip_ms: Millis | None
    """Of the last ping that was answered."""
    dialled: tuple[str, ...] = ()
    """The multiaddresses that the ledger or the operator gives."""
    is_stray: bool = False
    """It is there and has proved who it is, but runs another network: its genesis document is not ours."""


class Transport(Protocol):
    """The network: gossip to all members, requests to one."""

    async def publish(self, topic: Topic, message: bytes) -> None:
        """Send a message to every connected member; returns once queued, not once delivered."""
        ...

    async def request(
        self, member: MemberId, service: Service, request: bytes, receive: ReceiveFrame, *, timeout_ms: Millis
    ) -> None:
        """Ask one member and pass each frame of its response to ``receive``, in order.

        Raises:
            PeerUnreachable: Not connected, refused, too slow, or the stream was cut before its end.
            PeerMisbehaved: A frame was over the limit.
        """
        ...

    def get_peers(self) -> tuple[PeerStatus, ...]:
        """Return one entry for every other member and guide, sorted by member."""
        ...

    def lower_score(self, member: MemberId, *, by: int) -> None:
        """Note misbehaviour that only the caller could see, such as a forged chunk; of no member, it is nothing."""
        ...

    def set_members(self, members: Mapping[MemberId, tuple[str, ...]]) -> None:
        """Let exactly these members connect from now on, and dial them at these addresses (L1, L9).

        New ones are dialled and let in at once. Those that are members no longer are cut off at once and forgotten:
        requests under way with them fail with PeerUnreachable, and if they come back they start anew. An address that
        changed is used from the next dial on, unless the operator set others for this member. Our own may be among
        them.
        """
        ...

    def note_caught_up(self, member: MemberId) -> None:
        """Take that somebody has no final block that this node lacks.

        Whoever the operator named and the ledger does not know may be connected as a guide, for a node whose known
        members have all left. It is let go now. Nothing changes for members.
        """
        ...


class Clock(Protocol):
    """Wall time. Only the driver reads it; the core is told."""

    def get_now_ms(self) -> Millis:
        """Return the time since the Unix epoch."""
        ...


class Entropy(Protocol):
    """Secret randomness."""

    def get_bytes(self, count: int) -> bytes:
        """Return ``count`` random bytes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreContents:
    """What a node's store remembers when it starts."""

    state: "LedgerState"
    """The ledger after the tip, every state root on the way compared with the recorded one."""
    tip: FinalizedBlock | None
    """The newest final block, with its finalization; None before the first."""
    records: tuple[Record, ...]
    """The scores of this node, then the journal above the tip in the order of its writing."""
    has_vote_log: bool
    """False if this node may have cast votes that it does not remember (C10)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocatedResult:
    """What the ledger made of one operation, and where."""

    height: Height
    result: OperationResult


class LedgerReader(Protocol):
    """The final part of the ledger, for sync, people and audits. Every row is checked when it is read.

    All methods raise StoreCorrupt if a row is not what was written.
    """

    def get_tip(self) -> FinalizedBlock | None:
        """Return the newest final block."""
        ...

    def get_block(self, height: Height) -> FinalizedBlock | None:
        """Return a final block."""
        ...

    def get_outcome(self, height: Height) -> BlockOutcome | None:
        """Return what a final block did."""
        ...

    def get_blocks(self, from_height: Height, *, bytes_max: int) -> tuple[FinalizedBlock, ...]:
        """Return blocks of ascending heights for a peer that catches up, the last one with its finalization (C14).

        Their encodings are at most ``bytes_max`` bytes in all, unless the first certified block lies beyond.
        """
        ...

    def iterate_blocks(self, from_height: Height) -> Iterator[tuple[FinalizedBlock, BlockOutcome]]:
        """Yield final blocks and what they did, ascending, with the chain of their hashes checked."""
        ...

    def get_rounds(self, from_round: Round, *, limit: int) -> tuple[RoundRecord, ...]:
        """Return settled rounds, ascending; none if the limit is less than one."""
        ...

    def get_operation_result(self, operation_id: Digest) -> LocatedResult | None:
        """Return what became of an operation, if a final block holds it."""
        ...

    def get_scores(self) -> tuple[ScoreRecord, ...]:
        """Return this node's own scores of models, oldest first."""
        ...


class Store(LedgerReader, Protocol):
    """The node's memory: the final ledger, the journal above it, and snapshots."""

    async def append(self, effects: Sequence[Persist | PersistBlock]) -> None:
        """Write a batch in one transaction; on return it is durable, and nothing of it is written on an error.

        A final block prunes the journal of what it makes useless. After an error the store takes no more writes.

        Raises:
            DiskFull: There is no space left.
            StoreCorrupt: The disk failed, or an earlier write had failed.
            InvariantViolation: A block does not follow the tip.
        """
        ...

    def load(self) -> StoreContents:
        """Return what this node remembers; called once, before the first append.

        Raises:
            StoreCorrupt: Something that was written is damaged or missing.
        """
        ...

    async def save_snapshot(self, state: "LedgerState") -> None:
        """Keep the ledger's state after an appended block, so that the next start replays from there.

        Drops the journal's operations whose sequence numbers the state shows as used. Errors as :meth:`append`.
        """
        ...

    def is_snapshot_due(self) -> bool:
        """Return whether enough blocks were appended since the last snapshot."""
        ...

    def close(self) -> None:
        """Release the files; a write in progress is waited for."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A trained update, written to ``path`` as an update artifact (F4)."""

    scale_exponents: tuple[int, ...]
    """One per trainable tensor, in schema order."""
    example_count: int
    """Number of training examples used (information only)."""
    train_ms: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """The model that a round's updates aggregate to, written to a path as a model artifact (F6)."""

    digest: Digest


class Learner(Protocol):
    """The heavy work: everything that touches tensors. Paths are of artifacts in the content-addressed store."""

    async def train(self, *, round_number: int, base: Path, update: Path) -> Training:
        """Train the base model on this member's own data and write the update artifact to ``update``.

        Raises:
            WorkerFailed: The task raised, gave NaN or infinity, or the worker died or hung.
        """
        ...

    async def aggregate(
        self, *, base: Path, updates: Sequence[tuple[Path, tuple[int, ...]]], candidate: Path
    ) -> Candidate:
        """Aggregate updates, each with its scale exponents, in digest order, and write the candidate model (F4, F5)."""
        ...

    async def evaluate(self, *, model: Path, base: Path | None = None) -> Ppm:
        """Return the model's score on this member's own held-out data (F7); 0 if it has none, but the base has one.

        Raises:
            WorkerFailed: Neither has a score, an artifact cannot be read, or the worker died or hung.
        """
        ...

    async def screen(self, *, base: Path, update: Path, scale_exponents: tuple[int, ...]) -> Ppm:
        """Return the score of what one update makes of a base, writing nothing (F8); 0 if none, but the base has one.

        Raises:
            WorkerFailed: Neither has a score, an artifact cannot be read, or the worker died or hung.
        """
        ...
