"""The engine: inputs in, effects out; the one object that holds a node's part of the protocol.

``handle`` routes an input to consensus, mempool or duties, executes what became final on the ledger, and asks each
part what follows. It has no clock, no randomness and no input or output of its own, so the same inputs give the same
effects.
"""

from dataclasses import dataclass
from typing import assert_never

from protocol.admission import Admitted, GossipAdmission, Progress
from protocol.blocks import Block
from protocol.bls import BlsSigningKey
from protocol.codec import encode
from protocol.consensus.checks import ConsensusConfig
from protocol.consensus.machine import Consensus
from protocol.consensus.tree import Tip
from protocol.crypto import SigningKey
from protocol.duties import Duties, DutiesConfig
from protocol.errors import InvalidMessage, ProtocolError
from protocol.evidence import Evidence, check_evidence
from protocol.genesis import Genesis, build_validator_set, compute_chain_id
from protocol.gossip import Topic
from protocol.holdings import Holdings
from protocol.interface import (
    ArmTimer,
    ArtifactStored,
    BlockExecuted,
    BlockFetched,
    BlocksFetched,
    CandidateComputed,
    ConsensusReceived,
    Effect,
    FinalizedBlock,
    ForgetArtifacts,
    Input,
    ModelEvaluated,
    Observe,
    OffenceSeen,
    OperationReceived,
    OperationRequested,
    PersistBlock,
    PhaseEntered,
    TimeAdvanced,
    UpdateTrained,
    WorkFailed,
)
from protocol.ledger.state import LedgerState, get_account
from protocol.ledger.transition import apply_block, check_block_operations, get_deadline_ms
from protocol.mempool import Mempool
from protocol.operations import (
    Payload,
    ReportEvidence,
    decode_operation,
)
from protocol.own_operations import OwnOperations
from protocol.restored import Restored
from protocol.units import Digest, Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Who this node is, and in which network."""

    genesis: Genesis
    key: SigningKey
    bls_key: BlsSigningKey
    salt_secret: bytes
    """Where the salts of sealed ballots derive from; known to nobody else."""
    started_ms: Millis
    inverts_ballots: bool = False
    """True makes this node vote the wrong way round: misbehaviour on request."""


class Engine:
    """One node's protocol."""

    def __init__(self, config: EngineConfig, restored: Restored) -> None:
        """Go on from what the disk holds; nothing leaves before :meth:`start`."""
        genesis = config.genesis
        self._config = config
        self._chain_id = compute_chain_id(genesis)
        self._parameters = genesis.parameters
        self._members = frozenset(founder.member for founder in genesis.founders)
        self._validators = build_validator_set(genesis)
        self.state: LedgerState = restored.state
        """The ledger after the last final block."""
        self._holdings = Holdings(genesis.parameters, genesis.schema, restored.artifacts)
        self._mempool = Mempool()
        self._own = OwnOperations(self._chain_id, config.key, self._mempool, genesis.parameters, config.started_ms)
        self._effects: list[Effect] = []
        self._reported: set[Digest] = set()
        self._wants_step = False
        self._duties = Duties(
            DutiesConfig(
                chain_id=self._chain_id,
                parameters=genesis.parameters,
                schema=genesis.schema,
                member=config.key.member,
                salt_secret=config.salt_secret,
                inverts_ballots=config.inverts_ballots,
            )
        )
        self._duties.restore(restored.records)
        self.consensus = self._build_consensus(restored)
        self._own.restore(restored.records, restored.state)
        self.consensus.restore(restored.records)
        self.admission = GossipAdmission(
            self._chain_id,
            self._validators,
            self._members,
            Progress(
                get_finalized_view=lambda: self.consensus.tree.tip.view,
                get_next_sequence=lambda member: get_account(self.state, member).next_sequence,
                is_settled=self.consensus.is_settled,
                has_certificate=self.consensus.tree.has_certificate,
            ),
        )

    def start(self, now_ms: Millis) -> list[Effect]:
        """Return what a node does first."""
        self.consensus.start(now_ms)
        return self._settle(now_ms)

    def handle(self, event: Input, now_ms: Millis) -> list[Effect]:
        """Take one input and return what follows from it, in order."""
        match event:
            case ConsensusReceived():
                self.consensus.on_message(event.message)
            case OperationReceived():
                self._on_operation(event.operation)
            case OperationRequested():
                self._submit(event.payload, now_ms)
            case TimeAdvanced():
                pass
            case BlocksFetched():
                self._on_blocks(event)
            case BlockFetched():
                self._on_body(event.block)
            case ArtifactStored():
                self._holdings.digests.add(event.digest)
            case UpdateTrained():
                self._holdings.digests.add(event.artifact_digest)
                self._duties.on_trained(event)
            case CandidateComputed():
                self._holdings.digests.add(event.candidate_digest)
                self._effects.extend(self._duties.on_candidate(event, self.state))
            case ModelEvaluated():
                self._effects.extend(self._duties.on_score(event))
            case WorkFailed():
                self._effects.extend(self._duties.on_failed(event))
            case _:
                assert_never(event)
        return self._settle(now_ms)

    def judge_gossip(self, topic: Topic, message: bytes) -> Admitted:
        """Return what to do with a gossip message and, if it is accepted, the input it becomes (W3)."""
        return self.admission.judge(topic, message)

    def get_score(self, model_digest: Digest) -> int | None:
        """Return a model's score on this node's own held-out data, in parts per million, if it is known."""
        return self._duties.get_score(model_digest)

    def get_unfinalized_block(self, block_hash: Digest) -> Block | None:
        """Return the body of a block above the finalized tip, for a peer that asks."""
        return self.consensus.tree.blocks.get(block_hash)

    def collect_operations(self, branch: tuple[Block, ...]) -> tuple[bytes, ...]:
        """Return the operations to order next."""
        return self._mempool.collect(self.state, branch, self._parameters, self._holdings.is_held)

    def check_operations(self, block: Block) -> None:
        """Check a block's operations by themselves (C3)."""
        check_block_operations(self._chain_id, self._parameters, self._members, block.operations)

    def fetch_missing_artifacts(self, block: Block) -> bool:
        """Return whether artifacts that the block names are not held yet, and ask for those (F3)."""
        missing = self._holdings.find_missing(block)
        for operation in missing:
            self._effects.extend(self._holdings.fetch(operation))
        return bool(missing)

    def has_work(self, branch: tuple[Block, ...], now_ms: Millis) -> bool:
        """Return whether there is something to order, or a deadline has passed (C12)."""
        if self._mempool.has_any(self.state, branch, self._holdings.is_held):
            return True
        if branch:
            return False
        due_ms = self._compute_due_ms()
        return due_ms is not None and now_ms >= due_ms

    def _on_operation(self, encoded: bytes) -> None:
        operation = decode_operation(encoded)
        if self._mempool.add(encoded, operation, self.state) and self._holdings.is_wanted(operation, self.state):
            # Fetched ahead of the block, so that votes need not wait for it.
            self._effects.extend(self._holdings.fetch(operation))

    def _on_blocks(self, event: BlocksFetched) -> None:
        try:
            self.consensus.on_final_blocks(event.blocks)
        except InvalidMessage:
            # The shell asks another member; what this one sent has changed nothing.
            return

    def _on_body(self, block: Block) -> None:
        try:
            self.check_operations(block)
            self.consensus.on_block_body(block)
        except ProtocolError:
            # Nobody vouches for it; the shell asks another member.
            return

    def _settle(self, now_ms: Millis) -> list[Effect]:
        """Let every part act until nothing more follows; what is final is executed before consensus acts again."""
        self._drain_consensus(now_ms)
        self._wants_step = True
        while self._wants_step:
            self._wants_step = False
            self.consensus.step(now_ms)
            self._drain_consensus(now_ms)
            self._follow_duties(now_ms)
        self._effects.extend(self._own.resend(now_ms))
        self._arm_timer(now_ms)
        effects, self._effects = self._effects, []
        return effects

    def _drain_consensus(self, now_ms: Millis) -> None:
        effects, self.consensus.effects = self.consensus.effects, []
        delivered, self.consensus.delivered = self.consensus.delivered, []
        evidence, self.consensus.evidence = self.consensus.evidence, []
        self._effects.extend(effects)
        for final in delivered:
            self._execute(final)
        for proof in evidence:
            self._report(proof, now_ms)

    def _execute(self, final: FinalizedBlock) -> None:
        before = self.state
        self.state, outcome = apply_block(self._parameters, self._config.genesis.schema, before, final.block)
        header = final.block.header
        self._effects.append(PersistBlock(height=header.height, finalized=final, outcome=outcome))
        executed = BlockExecuted(
            height=header.height,
            view=header.view,
            time_ms=header.time_ms,
            leader=header.leader,
            operation_count=len(final.block.operations),
            outcome=outcome,
        )
        self._effects.append(Observe(observation=executed))
        if outcome.settled is not None:
            forgettable = self._duties.on_settled(outcome.settled, self.state)
            self._effects.append(ForgetArtifacts(digests=forgettable))
            self._holdings.forget_requests()
        self._observe_phase(before)
        self._mempool.prune(self.state)
        self._wants_step = True

    def _observe_phase(self, before: LedgerState) -> None:
        old, new = before.round, self.state.round
        if new is None or (old is not None and (old.round, old.phase) == (new.round, new.phase)):
            return
        entered = PhaseEntered(
            round=new.round,
            phase=new.phase,
            deadline_ms=new.deadline_ms,
            proposers=new.proposers,
            voters=new.voters,
        )
        self._effects.append(Observe(observation=entered))

    def _follow_duties(self, now_ms: Millis) -> None:
        plan = self._duties.plan(self.state, self._holdings.digests, now_ms)
        self._effects.extend(plan.effects)
        for payload in plan.payloads:
            if payload not in self._mempool.get_payloads(self._config.key.member):
                self._submit(payload, now_ms)

    def _report(self, proof: Evidence, now_ms: Millis) -> None:
        offence = check_evidence(self._chain_id, proof)
        key = Digest(encode(offence))
        if key in self._reported or offence in self.state.offences:
            return
        self._reported.add(key)
        self._effects.append(Observe(observation=OffenceSeen(offence=offence)))
        self._submit(ReportEvidence(evidence=proof), now_ms)

    def _submit(self, payload: Payload, now_ms: Millis) -> None:
        self._effects.extend(self._own.submit(payload, self.state, now_ms))
        self._wants_step = True

    def _compute_due_ms(self) -> Millis | None:
        """Return the time at which a block is wanted though nobody asks for an operation."""
        deadline_ms = get_deadline_ms(self.state)
        idle_ms = self._parameters.idle_block_ms
        heartbeat_ms = Millis(self.consensus.tree.tip.time_ms + idle_ms) if idle_ms else None
        times = [time for time in (deadline_ms, heartbeat_ms) if time is not None]
        return min(times, default=None)

    def _arm_timer(self, now_ms: Millis) -> None:
        due_ms = self._compute_due_ms()
        upcoming = due_ms if due_ms is not None and due_ms > now_ms else None
        wakeups = (self.consensus.compute_wakeup_ms(), self._own.resend_ms, upcoming)
        times = [time for time in wakeups if time is not None]
        if times:
            self._effects.append(ArmTimer(at_ms=min(times)))

    def _build_consensus(self, restored: Restored) -> Consensus:
        state = restored.state
        tip = Tip(block_hash=state.block_hash, view=state.view, height=state.height, time_ms=state.time_ms)
        config = ConsensusConfig(
            chain_id=self._chain_id,
            parameters=self._parameters,
            validators=self._validators,
            key=self._config.key,
            bls_key=self._config.bls_key,
            started_ms=self._config.started_ms,
            has_vote_log=restored.has_vote_log,
        )
        return Consensus(config, self, tip, None if restored.tip is None else restored.tip.certificate)
