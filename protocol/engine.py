"""The engine: inputs in, effects out; the one object that holds a node's part of the protocol.

``handle`` routes an input to consensus, mempool or duties, executes what became final on the ledger, and asks each
part what follows. It has no clock, no randomness and no input or output of its own, so the same inputs give the same
effects.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from protocol.admission import Admitted, GossipAdmission, Progress
from protocol.beacon_duties import BeaconDuties
from protocol.blocks import BeaconProof, Block
from protocol.bls import BlsSigningKey
from protocol.consensus.machine import Consensus
from protocol.crypto import SigningKey
from protocol.duties import Duties, DutiesConfig
from protocol.errors import InvalidMessage, ProtocolError
from protocol.evidence import Evidence
from protocol.genesis import Genesis, compute_chain_id
from protocol.gossip import Topic
from protocol.holdings import Holdings
from protocol.interface import (
    ArmTimer,
    BlockFetched,
    BlocksFetched,
    ConsensusReceived,
    EarlyReceived,
    Effect,
    FinalizedBlock,
    ForgetArtifacts,
    Input,
    Observe,
    OperationReceived,
    OperationRequested,
    PartialReceived,
    PersistBlock,
    TimeAdvanced,
    WitnessHeard,
)
from protocol.key_orders import DealMade, DealsChecked, ShareDerived
from protocol.learning_inputs import take_learning_input
from protocol.ledger.state import (
    LedgerState,
    get_account,
    get_account_members,
    is_known_member,
)
from protocol.ledger.transition import apply_block, check_block_operations, get_deadline_ms
from protocol.mempool import Mempool
from protocol.observations import OffenceSeen
from protocol.observing import observe_block, observe_phase
from protocol.operations import Payload, SubmitUpdate, decode_operation
from protocol.own_operations import OwnOperations
from protocol.reports import Reports
from protocol.restored import Restored
from protocol.succession import Succession, build_members
from protocol.units import Digest, Epoch, MemberId, Millis
from protocol.votes import Vote


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
        self.state: LedgerState = restored.state
        """The ledger after the last final block."""
        self._holdings = Holdings(genesis.parameters, genesis.schema, restored.artifacts)
        self._mempool = Mempool()
        self._own = OwnOperations(self._chain_id, config.key, self._mempool, genesis.parameters, config.started_ms)
        self._beacon = BeaconDuties(self._chain_id, config.key, genesis.parameters, config.started_ms)
        self._effects: list[Effect] = []
        self._reports = Reports(self._chain_id)
        self._wants_step = False
        self._wants_plan = False
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
        self._succession = Succession(config.key, config.bls_key, genesis.parameters, self, restored, config.started_ms)
        self._own.restore(restored.records, restored.state)
        self._succession.restore(restored)
        self.admission = GossipAdmission(
            self._chain_id,
            Progress(
                get_validators=lambda: self.consensus.config.validators,
                is_member=lambda member: is_known_member(self.state, member),
                get_finalized_view=lambda: self.consensus.tree.tip.view,
                get_next_sequence=lambda member: get_account(self.state, member).next_sequence,
                is_settled=self._succession.is_settled,
                has_certificate=self._succession.has_certificate,
                check_partial_wanted=lambda partial: self._beacon.check_wanted(partial, self.state),
            ),
        )

    @property
    def consensus(self) -> Consensus:
        """The consensus of the current epoch."""
        return self._succession.consensus

    def start(self, now_ms: Millis) -> list[Effect]:
        """Return what a node does first."""
        guard = self._succession.guard
        guard.note_time(now_ms)
        self._effects += [build_members(self.state), *guard.start()]
        self.consensus.start(now_ms)
        self._wants_plan = True
        return self._settle(now_ms)

    def handle(self, event: Input, now_ms: Millis) -> list[Effect]:
        """Take one input and return what follows from it, in order."""
        self._succession.guard.note_time(now_ms)
        match event:
            case ConsensusReceived():
                self.consensus.on_message(event.message)
            case EarlyReceived():
                self._succession.on_early(event, now_ms)
            case WitnessHeard():
                self.consensus.counting.notice(*event.votes)
                self._succession.guard.on_witness(event.member)
            case OperationReceived():
                self._on_operation(event.operation)
            case OperationRequested():
                self._submit(event.payload, now_ms)
            case TimeAdvanced():
                self._wants_plan = True
            case BlocksFetched():
                self._on_blocks(event, now_ms)
            case BlockFetched():
                self._on_body(event.block)
            case PartialReceived() | DealMade() | DealsChecked() | ShareDerived():
                self._beacon.on_event(event, self.state)
                self._wants_plan = True
            case _:
                self._effects.extend(take_learning_input(event, self._duties, self._holdings, self.state))
                self._wants_plan = True
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

    def explain_silence(self) -> str | None:
        """Return for the operator why this node casts no votes in consensus now; None if it does (C10, C13)."""
        return self._succession.explain_silence()

    def get_votes_seen(self, member: MemberId) -> tuple[Vote, ...]:
        """Return the newest votes of a member that this node has seen, for that member (C10)."""
        return self.consensus.counting.get_newest(member)

    def collect_operations(self, branch: tuple[Block, ...]) -> tuple[bytes, ...]:
        """Return the operations to order next."""
        return self._mempool.collect(self.state, branch, self._parameters, self._is_ready)

    def get_beacon_proof(self, branch: tuple[Block, ...]) -> BeaconProof | None:
        """Return the beacon's output for the next block (B2)."""
        return self._beacon.get_proof(self.state, branch)

    def check_operations(self, block: Block) -> None:
        """Check a block's operations by themselves (C3)."""
        check_block_operations(self._chain_id, self._parameters, get_account_members(self.state), block.operations)

    def fetch_missing_artifacts(self, block: Block) -> bool:
        """Return whether artifacts that the block names are not held yet, and ask for those (F3)."""
        missing = self._holdings.find_missing(block, self.state)
        self._effects.extend(self._holdings.fetch_missing(missing, self.state))
        return bool(missing)

    def has_work(self, branch: tuple[Block, ...], now_ms: Millis) -> bool:
        """Return whether there is something to order, or a deadline has passed (C12)."""
        if self._mempool.has_any(self.state, branch, self._is_ready):
            return True
        if self._beacon.get_proof(self.state, branch) is not None:
            return True
        if branch:
            return False
        due_ms = self._compute_due_ms()
        return due_ms is not None and now_ms >= due_ms

    def _on_operation(self, encoded: bytes) -> None:
        operation = decode_operation(encoded)
        if self._mempool.add(encoded, operation, self.state):
            # Fetched ahead of the block, so that votes need not wait for it.
            self._effects.extend(self._holdings.fetch_ahead(operation, self.state))
            self._effects.extend(self._beacon.judge_ahead(operation, self.state))

    def _on_blocks(self, event: BlocksFetched, now_ms: Millis) -> None:
        """Take final blocks, one epoch at a time: each is checked against its own validators (C13, C14)."""
        rest = event.blocks
        while rest:
            consensus, epoch = self.consensus, self.state.epoch
            part = tuple(entry for entry in rest if entry.block.header.epoch <= epoch)
            rest = rest[len(part) :]
            try:
                consensus.on_final_blocks(part)
            except InvalidMessage:
                # The shell asks another member; what this one sent has changed nothing.
                return
            self._drain_consensus(now_ms)
            if self.consensus is consensus:
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
            self._follow_plans(now_ms)
        self._effects.extend(self._own.resend(now_ms))
        self._effects += self._succession.ask_if_behind(self.state.height, now_ms)
        self._arm_timer(now_ms)
        effects, self._effects = self._effects, []
        return effects

    def _drain_consensus(self, now_ms: Millis) -> None:
        consensus = self.consensus
        delivered, evidence = list(consensus.delivered), list(consensus.evidence)
        self._effects.extend(consensus.effects)
        for emptied in (consensus.effects, consensus.delivered, consensus.evidence):
            emptied.clear()
        for final in delivered:
            self._execute(final)
        for proof in evidence:
            self._report(proof, now_ms)

    def _execute(self, final: FinalizedBlock) -> None:
        before = self.state
        self.state, outcome = apply_block(self._parameters, self._config.genesis.schema, before, final.block)
        height = final.block.header.height
        self._effects.append(PersistBlock(height=height, finalized=final, outcome=outcome))
        self._effects.append(observe_block(final, outcome))
        if outcome.settled is not None:
            forgettable = self._duties.on_settled(outcome.settled, self.state)
            dropped = self._holdings.forget_requests(outcome.settled.update_digests)
            self._effects.append(ForgetArtifacts(digests=tuple(sorted({*forgettable, *dropped}))))
        self._effects += observe_phase(before, self.state)
        self._mempool.prune(self.state)
        self._wants_step = self._wants_plan = True
        if self.state.epoch != before.epoch:
            self._start_epoch(before, final)

    def _start_epoch(self, before: LedgerState, last: FinalizedBlock) -> None:
        """Begin a new epoch on the last block of the one before, and judge what came early for it (C13)."""
        self._effects += self._succession.advance(before, self.state, last)
        self._reports.forget_before(Epoch(max(0, self.state.epoch - self._parameters.evidence_window_epochs)))
        for message in self._succession.take_early():
            event = self.judge_gossip(Topic.CONSENSUS, message).event
            if isinstance(event, ConsensusReceived):
                self.consensus.on_message(event.message)

    def _follow_plans(self, now_ms: Millis) -> None:
        """Do what the round and the beacon ask for; votes, which are most of what comes, change nothing in that."""
        if not self._wants_plan:
            return
        self._wants_plan = False
        plan = self._duties.plan(self.state, self._holdings.digests, now_ms)
        self._effects.extend(plan.effects)
        self._submit_all(plan.payloads, now_ms)
        beacon = self._beacon.plan(self.state, now_ms)
        self._effects.extend(beacon.effects)
        self._submit_all(beacon.payloads, now_ms)
        self._wants_step |= beacon.has_new_proof

    def _submit_all(self, payloads: Iterable[Payload], now_ms: Millis) -> None:
        for payload in payloads:
            if payload not in self._mempool.get_payloads(self._config.key.member):
                self._submit(payload, now_ms)

    def _report(self, proof: Evidence, now_ms: Millis) -> None:
        report = self._reports.take(proof, self.state)
        if report is not None:
            offence, payload = report
            self._effects.append(Observe(observation=OffenceSeen(offence=offence)))
            self._submit(payload, now_ms)

    def _submit(self, payload: Payload, now_ms: Millis) -> None:
        if self._config.key.member not in get_account_members(self.state):
            # A newcomer that is not admitted yet has nothing to say on the ledger.
            return
        self._effects.extend(self._own.submit(payload, self.state, now_ms))
        self._wants_step = True

    def _is_ready(self, manifest: SubmitUpdate) -> bool:
        return self._holdings.is_ready(manifest, self.state)

    def _compute_due_ms(self) -> Millis | None:
        """Return the time at which a block is wanted though nobody asks for an operation."""
        deadline_ms = get_deadline_ms(self._parameters, self.state)
        idle_ms = self._parameters.idle_block_ms
        heartbeat_ms = Millis(self.consensus.tree.tip.time_ms + idle_ms) if idle_ms else None
        times = [time for time in (deadline_ms, heartbeat_ms) if time is not None]
        return min(times, default=None)

    def _arm_timer(self, now_ms: Millis) -> None:
        due_ms = self._compute_due_ms()
        upcoming = due_ms if due_ms is not None and due_ms > now_ms else None
        parts = (self.consensus.compute_wakeup_ms(), self._own.resend_ms, self._succession.wakeup_ms)
        times = [time for time in (*parts, self._beacon.wakeup_ms, upcoming) if time is not None]
        if times:
            self._effects.append(ArmTimer(at_ms=min(times)))
