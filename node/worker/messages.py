"""What the daemon and its worker say to each other over the worker's standard input and output, and it to its ranks.

A frame is its length, four bytes little-endian, and the canonical encoding of one tagged dataclass. The worker answers
every request with exactly one reply, in order; it never speaks first.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import BinaryIO, ClassVar, Final, TypeAlias, cast

from protocol.codec import decode_union, encode_union
from protocol.learning.artifact_format import ModelSchema
from protocol.parameters import AggregationChoice
from protocol.units import Digest, Ppm

FRAME_BYTES_MAX: Final = 16 << 20
FRAME_LENGTH_BYTES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTask:
    """Make the task ready; comes first."""

    tag: ClassVar[int] = 1
    task: str
    parameters: tuple[tuple[str, str], ...]
    """As in the genesis document; ``seed`` and ``split`` are the bundled tasks' deal."""
    member_index: int
    member_count: int
    aggregation: AggregationChoice
    schema: ModelSchema | None
    """The chain's; None while a genesis document is being made, and then it is the task's own."""
    attack: str
    """How this member misbehaves, an :class:`node.attacks.AttackKind`; ``none`` if it is honest."""
    attack_strength_ppm: int
    """In millionths, because messages hold no floats."""
    device: str
    """For torch: ``cpu``, ``cuda:0`` and so on."""
    thread_count: int
    local: tuple[tuple[str, str], ...] = ()
    """What only this member's task is told."""
    launcher: str = ""
    """Starts the ranks that train together; empty if the worker trains by itself."""
    rank_folder: str = ""
    """An empty folder for what the ranks need to meet, if there is a launcher."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeTask:
    """Tell the model's schema and write its initial weights to a path."""

    tag: ClassVar[int] = 2
    initial_model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainModel:
    """Train the model at ``base`` and write the update to ``update``."""

    tag: ClassVar[int] = 3
    round_number: int
    base: str
    update: str
    """Empty for a rank that only trains along."""
    trace: str = ""
    """A file for what a dry round looks at, see :mod:`node.worker.traces`; empty for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateSource:
    """One member's update."""

    path: str
    scale_exponents: tuple[int, ...]
    """One per trainable tensor, in schema order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateUpdates:
    """Join updates and the model at ``base`` to the model at ``candidate``."""

    tag: ClassVar[int] = 4
    base: str
    updates: tuple[UpdateSource, ...]
    candidate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateModel:
    """Score a model on this member's held-out data."""

    tag: ClassVar[int] = 5
    model: str
    base: str = ""
    """What the model is made of: one that has no score while its base has one is as bad as can be. Empty for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckTask:
    """Try one round of the task by itself, with the artifacts in ``folder``, and tell what would go wrong."""

    tag: ClassVar[int] = 6
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRanks:
    """Meet the other ranks through torch.distributed; comes before all else, and to ranks only."""

    tag: ClassVar[int] = 7
    store: str
    """A file that no other ranks ever used."""
    device: str
    """As in :class:`LoadTask`: the worker's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenUpdate:
    """Score what one update makes of the model at ``base``, without writing it; answered by ModelEvaluated."""

    tag: ClassVar[int] = 8
    base: str
    update: UpdateSource


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLoaded:
    """Answers :class:`LoadTask`."""

    tag: ClassVar[int] = 1
    load_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDescribed:
    """Answers :class:`DescribeTask`."""

    tag: ClassVar[int] = 2
    schema: ModelSchema
    model_digest: Digest
    model_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTrained:
    """Answers :class:`TrainModel`."""

    tag: ClassVar[int] = 3
    scale_exponents: tuple[int, ...]
    example_count: int
    train_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatesAggregated:
    """Answers :class:`AggregateUpdates`."""

    tag: ClassVar[int] = 4
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEvaluated:
    """Answers :class:`EvaluateModel` and :class:`ScreenUpdate`."""

    tag: ClassVar[int] = 5
    score: Ppm


class Severity(IntEnum):
    """How bad a finding is."""

    WARNING = 0
    ERROR = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing about a task that would spoil rounds."""

    severity: Severity
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChecked:
    """Answers :class:`CheckTask`."""

    tag: ClassVar[int] = 7
    findings: tuple[Finding, ...]
    tensor_count: int
    trainable_count: int
    model_bytes: int
    example_count: int
    train_ms: int
    evaluate_ms: int
    score_before: Ppm
    score_after: Ppm


@dataclass(frozen=True, slots=True, kw_only=True)
class RanksJoined:
    """Answers :class:`JoinRanks`."""

    tag: ClassVar[int] = 8
    rank: int
    rank_count: int
    device: str
    """Where this rank computes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFailed:
    """Answers any request that could not be done; the worker is as it was before."""

    tag: ClassVar[int] = 6
    kind: str
    """The name of the exception's class."""
    message: str


class SetupError(Exception):
    """This node's own settings ask for what its machine does not have; the message says what to change."""


class RankFailed(Exception):
    """A rank raised or died; the message says which, and what it said."""


Request: TypeAlias = (
    LoadTask
    | DescribeTask
    | TrainModel
    | AggregateUpdates
    | EvaluateModel
    | CheckTask
    | JoinRanks
    | ScreenUpdate
)
Reply: TypeAlias = (
    TaskLoaded
    | TaskDescribed
    | ModelTrained
    | UpdatesAggregated
    | ModelEvaluated
    | TaskChecked
    | RanksJoined
    | RequestFailed
)


def encode_request(request: Request) -> bytes:
    """Return a request as a frame."""
    return _encode_frame(encode_union(request, Request))


def encode_reply(reply: Reply) -> bytes:
    """Return a reply as a frame."""
    return _encode_frame(encode_union(reply, Reply))


def read_frame(stream: BinaryIO) -> bytes | None:
    """Return the next frame's payload; None if the stream ends, even within a frame, or breaks the framing."""
    header = stream.read(FRAME_LENGTH_BYTES)
    length = int.from_bytes(header, "little")
    if len(header) < FRAME_LENGTH_BYTES or length > FRAME_BYTES_MAX:
        return None
    payload = stream.read(length)
    return payload if len(payload) == length else None


def decode_request(payload: bytes) -> Request:
    """Return the request in a frame's payload; raises MalformedMessage."""
    return cast(Request, decode_union(Request, payload, bytes_max=FRAME_BYTES_MAX))


def decode_reply(payload: bytes) -> Reply:
    """Return the reply in a frame's payload; raises MalformedMessage."""
    return cast(Reply, decode_union(Reply, payload, bytes_max=FRAME_BYTES_MAX))


def _encode_frame(payload: bytes) -> bytes:
    return len(payload).to_bytes(FRAME_LENGTH_BYTES, "little") + payload
