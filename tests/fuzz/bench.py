"""An engine on a bench: steps in, and after each what must hold whatever one member and the network do.

The engine is the member that was absent from the recorded run. Node 1 misbehaves: its key signs whatever an input says.
The others are honest and say what was recorded, or, on request, what an honest member says that sees what this engine
sees: they vote as it has voted. So a block that this engine votes for becomes final, and executing it must be possible.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, cast, get_args

from protocol.blocks import Block
from protocol.codec import decode, decode_union, encode, encode_union
from protocol.errors import MalformedMessage
from protocol.evidence import is_conflict
from protocol.gossip import Admission, Topic
from protocol.interface import (
    ArtifactStored,
    AskWitnesses,
    BlockFetched,
    BlocksFetched,
    Broadcast,
    CandidateComputed,
    ComputeCandidate,
    Effect,
    EvaluateModel,
    FetchArtifact,
    FinalizedBlock,
    Input,
    ModelEvaluated,
    Persist,
    PersistBlock,
    ScreenUpdate,
    TimeAdvanced,
    TrainModel,
    UpdateScreened,
    UpdateTrained,
    WitnessHeard,
)
from protocol.journal import OwnVoteRecord
from protocol.learning.artifact_format import compute_update_size_bytes, get_trainable_tensors
from protocol.messages import Certificates, ConsensusMessage, OperationMessage, Votes
from protocol.operations import decode_operation
from protocol.units import Epoch, Millis, Ppm, View
from protocol.votes import Vote, VoteKind
from tests.fuzz.leading import build_leader_proposal, sign_fitting
from tests.fuzz.recording import ABSENT, Recording, Snapshot
from tests.fuzz.shape import count_held, take_shape
from tests.fuzz.signing import Signer
from tests.sim.checkers import check_supply
from tests.values import make_digest

FAULTY: Final = 1
MESSAGE_BYTES_MAX: Final = 1 << 20
HELD_MAX: Final = 2_500
"""How many things an engine of this network may hold: the windows of C15 for five members, and what a round needs."""


class Bench:
    """One engine, its disk, and the world around it."""

    def __init__(self, recording: Recording, snapshot: Snapshot, everybody: Signer) -> None:
        self._recording = recording
        self._everybody = everybody
        self._disk = snapshot.disk.copy()
        self._now_ms = snapshot.now_ms
        self._late: list[Input] = []
        self._orders: list[Effect] = []
        self._cast: list[Vote] = []
        self._sent: list[Vote] = []
        self._echoed = 0
        self._given_up: set[tuple[Epoch, View]] = set()
        self._finalized: set[tuple[Epoch, View]] = set()
        self._others = replace(everybody, keys=tuple(keys for keys in recording.keys if keys != recording.keys[ABSENT]))
        self._start()

    # What an input can do.

    def gossip(self, topic: Topic, message: bytes, *, is_late: bool) -> None:
        """Deliver a message; what becomes of it may wait while other things happen, as in the node's inbox."""
        admitted = self.engine.judge_gossip(topic, message)
        if admitted.event is not None and is_late:
            self._late.append(admitted.event)
        elif admitted.event is not None:
            self.handle(admitted.event)

    def advance(self, span_ms: int) -> None:
        """Let time pass, and the inbox be read."""
        self._now_ms = Millis(self._now_ms + span_ms)
        self.handle(TimeAdvanced())
        late, self._late = self._late, []
        for event in late:
            self.handle(event)

    def fetch_blocks(self, frames: Sequence[bytes]) -> None:
        """Let a member answer with these blocks."""
        try:
            blocks = tuple(decode(FinalizedBlock, frame, bytes_max=MESSAGE_BYTES_MAX) for frame in frames)
        except MalformedMessage:
            return
        self.handle(TimeAdvanced())
        before, height = take_shape(self.engine), self.engine.state.height
        self.handle(BlocksFetched(blocks=blocks))
        has_grown = self.engine.state.height > height
        assert has_grown or take_shape(self.engine) == before, "refused blocks changed something"

    def fetch_body(self, frame: bytes) -> None:
        """Let a member answer with this body."""
        try:
            block = decode(Block, frame, bytes_max=MESSAGE_BYTES_MAX)
        except MalformedMessage:
            return
        self.handle(BlockFetched(block=block))

    def work(self) -> None:
        """Let the worker and the network do what was ordered."""
        orders, self._orders = self._orders, []
        for order in orders:
            answer = self._answer(order)
            if answer is not None:
                self.handle(answer)

    def echo(self) -> None:
        """Let the other honest members vote as this node has voted."""
        votes, self._echoed = self._sent[self._echoed :], len(self._sent)
        for vote in votes:
            place = vote.epoch, vote.view
            if vote.kind is VoteKind.FINALIZE and place in self._given_up:
                continue
            if vote.kind is VoteKind.FINALIZE:
                self._finalized.add(place)
            for entry in self._everybody.get_validators(vote.epoch).validators:
                keys = self._everybody.by_member[entry.member]
                if keys not in (self._recording.keys[ABSENT], self._recording.keys[FAULTY]):
                    copied = self._everybody.cast(keys, vote.epoch, vote.kind, vote.view, vote.block_hash)
                    message = encode_union(Votes(votes=(copied,), attempt=0), ConsensusMessage)
                    self.gossip(Topic.CONSENSUS, message, is_late=False)

    def give_up(self, *, is_late: bool) -> None:
        """Let the others give up the current view, and tell this node so with a certificate."""
        epoch, view = self.engine.state.epoch, self.engine.consensus.view
        certificate = self._others.certify(epoch, VoteKind.NULLIFY, view, None)
        if certificate is None or (epoch, view) in self._finalized:
            return
        self._given_up.add((epoch, view))
        message = Certificates(certificates=(certificate,), attempt=len(self._given_up))
        self.gossip(Topic.CONSENSUS, encode_union(message, ConsensusMessage), is_late=is_late)

    def lead(self, operations: Sequence[bytes], fit: int) -> None:
        """Let the leader of the current view propose, with these operations if it is the faulty member."""
        signed = tuple(self._sign(operation, fit) for operation in operations)
        faulty = self._recording.keys[FAULTY]
        proposal = build_leader_proposal(self.engine, self._everybody, faulty, signed, self._now_ms, fit=fit)
        if proposal is not None:
            self.gossip(Topic.CONSENSUS, encode_union(proposal, ConsensusMessage), is_late=False)

    def submit(self, operation: bytes, fit: int, *, is_late: bool) -> None:
        """Let the faulty member publish an operation."""
        message = OperationMessage(operation=self._sign(operation, fit), attempt=0)
        self.gossip(Topic.OPERATIONS, encode(message), is_late=is_late)

    def restart(self, *, loses_journal: bool) -> None:
        """Stop, and start again from the disk."""
        self._late, self._orders = [], []
        if loses_journal:
            self._disk.lose_journal()
        self._start()

    # What follows.

    def handle(self, event: Input) -> None:
        """Give the engine an input and check all that must hold afterwards."""
        self._take(self.engine.handle(event, self._now_ms))

    def finish(self) -> None:
        """Check what must hold at the end: a node could start from this disk."""
        self.advance(0)
        self._recording.start_engine(self._disk, self._now_ms)

    def _start(self) -> None:
        self.engine = self._recording.start_engine(self._disk, self._now_ms)
        self._take(self.engine.start(self._now_ms))

    def _take(self, effects: list[Effect]) -> None:
        batch = [effect for effect in effects if isinstance(effect, Persist | PersistBlock)]
        self._disk.write(batch, self.engine.state, self._recording.keys[ABSENT].key.member)
        for effect in effects:
            assert isinstance(effect, get_args(Effect)), f"{type(effect).__name__} is no effect"
            match effect:
                case Persist(record=OwnVoteRecord(vote=vote)):
                    self._note_vote(vote)
                case Broadcast(topic=topic, message=message):
                    self._note_message(topic, message)
                case FetchArtifact() | TrainModel() | ComputeCandidate() | EvaluateModel() | ScreenUpdate():
                    self._orders.append(effect)
                case _:
                    pass
        self._check_state()
        if any(isinstance(effect, AskWitnesses) for effect in effects):
            for keys in self._recording.keys[FAULTY:-1]:
                self.handle(WitnessHeard(member=keys.key.member, votes=tuple(self._sent[-1:])))

    def _note_vote(self, vote: Vote) -> None:
        for other in self._cast:
            if (other.epoch, other.view) == (vote.epoch, vote.view):
                assert not is_conflict(other, vote), f"voted twice in view {vote.view}"
        self._cast.append(vote)

    def _note_message(self, topic: Topic, message: bytes) -> None:
        admitted = self.engine.judge_gossip(topic, message)
        assert admitted.admission is not Admission.REJECT, f"says what it would reject: {admitted.reason}"
        if topic is Topic.CONSENSUS:
            decoded = cast(ConsensusMessage, decode_union(ConsensusMessage, message, bytes_max=MESSAGE_BYTES_MAX))
            if isinstance(decoded, Votes):
                self._sent += [vote for vote in decoded.votes if vote not in self._sent]

    def _check_state(self) -> None:
        check_supply(self.engine.state)
        tree = self.engine.consensus.tree
        certificates = [*tree.notarizations.values(), *tree.nullifications.values(), *tree.finalizations.values()]
        epochs = {certificate.epoch for certificate in certificates}
        assert epochs <= {self.engine.state.epoch}, f"certificates of epochs {sorted(epochs)} are held"
        held = count_held(self.engine)
        assert held <= HELD_MAX, f"the engine holds {held} things, {HELD_MAX} are allowed"
        if not self._echoed:
            guilty = {account.member for account in self.engine.state.accounts if account.is_jailed}
            assert guilty <= {self._recording.keys[FAULTY].key.member}, "an honest member was convicted"

    def _sign(self, encoded: bytes, fit: int) -> bytes:
        try:
            payload = decode_operation(encoded).content.payload
        except MalformedMessage:
            return encoded
        return sign_fitting(
            self.engine.state, self._everybody, self._recording.keys[FAULTY], payload, fit=max(0, fit)
        )

    def _answer(self, order: Effect) -> Input | None:
        schema = self._recording.genesis.schema
        match order:
            case FetchArtifact(digest=digest):
                return ArtifactStored(digest=digest)
            case TrainModel(round=round_number, base_digest=base):
                return UpdateTrained(
                    round=round_number,
                    base_digest=base,
                    scale_exponents=tuple(-20 for _ in get_trainable_tensors(schema)),
                    artifact_digest=make_digest("update", base),
                    artifact_bytes=compute_update_size_bytes(schema),
                    example_count=10,
                )
            case ComputeCandidate(base_digest=base, updates=updates):
                digests = tuple(update.artifact_digest for update in updates)
                made = make_digest("candidate", base, *digests)
                return CandidateComputed(base_digest=base, updates=updates, candidate_digest=made)
            case EvaluateModel(model_digest=model):
                return ModelEvaluated(model_digest=model, score=Ppm(600_000))
            case ScreenUpdate(base_digest=base, update=update):
                return UpdateScreened(base_digest=base, update=update, score=Ppm(600_000))
            case _:
                return None
