"""Every input and effect of the core: with the observations, the whole interface between rules and world.

Inputs are facts in the past, effects are orders to the shell. The shell makes every
:class:`Persist` of a batch durable before it performs any other effect of the batch (C10).
"""

from dataclasses import dataclass
from typing import TypeAlias

from protocol.blocks import Block
from protocol.gossip import Topic
from protocol.journal import Record
from protocol.key_orders import KeyWork, KeyWorkDone
from protocol.messages import ConsensusMessage, Partial
from protocol.observations import Observation
from protocol.operations import Payload
from protocol.outcomes import BlockOutcome
from protocol.units import Digest, Epoch, Height, MemberId, Millis, Ppm, Round
from protocol.votes import Certificate, Vote


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsensusReceived:
    """A consensus message came in; gossip admission has checked its shape and signatures."""

    message: ConsensusMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationReceived:
    """An operation came in from a member; gossip admission has checked its shape and signature."""

    operation: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRequested:
    """This node's operator asks for an operation."""

    payload: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeAdvanced:
    """The time that the last :class:`ArmTimer` asked for has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalizedBlock:
    """A block with the certificate that finalizes it, if this node has one for exactly this block."""

    block: Block
    certificate: Certificate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlocksFetched:
    """A member answered a request for blocks: ascending heights, the last one with its finalization (C14)."""

    blocks: tuple[FinalizedBlock, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockFetched:
    """A member answered a request for one unfinalized block's body."""

    block: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactStored:
    """The artifact of this digest is complete on this node's disk, checked against its digest."""

    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateTrained:
    """This node's worker has trained an update and stored its artifact."""

    round: Round
    base_digest: Digest
    scale_exponents: tuple[int, ...]
    artifact_digest: Digest
    artifact_bytes: int
    example_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateReference:
    """An update as the worker needs it: manifests may name one artifact with different scales."""

    artifact_digest: Digest
    scale_exponents: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateComputed:
    """This node's worker has aggregated updates to a candidate and stored it."""

    base_digest: Digest
    updates: tuple[UpdateReference, ...]
    candidate_digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEvaluated:
    """This node's worker has scored a model on this member's own held-out data."""

    model_digest: Digest
    score: Ppm


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateScreened:
    """This node's worker has scored a base moved by one update on own held-out data; no artifact holds that model."""

    base_digest: Digest
    update: UpdateReference
    score: Ppm


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreeningFailed:
    """The worker could not screen an update, for a reason of this node's own, which says nothing of the update."""

    round: Round
    base_digest: Digest
    update: UpdateReference
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkFailed:
    """The worker could not do what an effect asked for; this node is silent in that matter."""

    round: Round
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyReceived:
    """A consensus message of a later epoch came in: it cannot be judged yet; this node is behind (C13)."""

    epoch: Epoch
    signer: MemberId | None
    """Who signed all of it, as far as one member did; its signature holds, its weight is unknown."""
    message: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessHeard:
    """A member told which votes of this node it has seen (C10); their signatures hold."""

    member: MemberId
    votes: tuple[Vote, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialReceived:
    """A member's partial of a beacon output came in; gossip admission has checked its member's signature (B3)."""

    partial: Partial


BeaconInput: TypeAlias = PartialReceived | KeyWorkDone
"""What comes from other holders of the beacon's key, and from the computations with this node's own."""

LearningInput: TypeAlias = (
    ArtifactStored | UpdateTrained | CandidateComputed | ModelEvaluated | UpdateScreened | ScreeningFailed | WorkFailed
)
"""What comes from the worker, and from other members' artifacts."""

Input: TypeAlias = (
    ConsensusReceived
    | EarlyReceived
    | WitnessHeard
    | OperationReceived
    | OperationRequested
    | TimeAdvanced
    | BlocksFetched
    | BlockFetched
    | BeaconInput
    | LearningInput
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Persist:
    """Append a record to the journal, durably, before anything else of this batch happens."""

    record: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class PersistBlock:
    """Append a final block to the ledger on disk, durably; heights come without gaps."""

    height: Height
    finalized: FinalizedBlock
    outcome: BlockOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcast:
    """Publish a message to every member."""

    topic: Topic
    message: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmTimer:
    """Give a :class:`TimeAdvanced` at this time, if it is still to come at once; replaces the previous timer."""

    at_ms: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class AskWitnesses:
    """Ask every other member which votes of this node it has seen, until it has answered once (C10)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A member, and where to dial it first."""

    member: MemberId
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMembers:
    """From now on these members and no others may connect, this node among them if it is one (L1, L9)."""

    contacts: tuple[Contact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchBlocks:
    """Ask members for final blocks from this height on, and keep asking others until some come."""

    from_height: Height
    hint: MemberId | None
    """Somebody who seems to have them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchBlock:
    """Ask members for the body of an unfinalized block."""

    block_hash: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchArtifact:
    """Get an artifact from members, until it is stored or no longer wanted."""

    digest: Digest
    bytes_expected: int
    source: MemberId | None
    """Somebody who should hold it."""
    scale_exponents: tuple[int, ...] | None
    """For an update, its manifest's; None for a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainModel:
    """Train the base model for a round; answered by UpdateTrained or WorkFailed."""

    round: Round
    base_digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeCandidate:
    """Aggregate updates, in this order, on a base model; answered by CandidateComputed or WorkFailed."""

    round: Round
    base_digest: Digest
    updates: tuple[UpdateReference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateModel:
    """Score a model on own held-out data; answered by ModelEvaluated or WorkFailed."""

    round: Round
    model_digest: Digest
    base_digest: Digest | None
    """What the model is made of: if that has a score here and the model has none, it counts as 0. None if no matter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenUpdate:
    """Score what one update, with these scales, makes of a base model; answered by UpdateScreened or ScreeningFailed.

    As above: what cannot be scored here while the base can has score 0.
    """

    round: Round
    base_digest: Digest
    update: UpdateReference


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetArtifacts:
    """These artifacts are no longer needed by any rule; keep them or not, as the node's retention says."""

    digests: tuple[Digest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observe:
    """Tell people."""

    observation: Observation


Effect: TypeAlias = (
    Persist
    | PersistBlock
    | Broadcast
    | ArmTimer
    | AskWitnesses
    | SetMembers
    | FetchBlocks
    | FetchBlock
    | FetchArtifact
    | TrainModel
    | ComputeCandidate
    | EvaluateModel
    | ScreenUpdate
    | KeyWork
    | ForgetArtifacts
    | Observe
)
