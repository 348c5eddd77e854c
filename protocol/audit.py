"""The audit of an exported ledger: a replay from genesis that trusts nobody and names the first wrong thing.

Checked for every block, in this order: its place after its parent; that the leader is the one drawn for its view; the
leader's signature and reveal (B5); the beacon's output, if it has one, against the group key (B2); the operations
against the header, and each one's signature; the finalization certificate, if there is one, against the members'
weights, every signature of it; and then everything that executing the block did, field by field: what each operation
came to, every micro-token, the draw, the ballots, the verdict, the model and its lineage, and the root of the state.
Ballots are checked against their seals, because a reveal that does not open its seal is refused by the same rules
again. The last block must be certified, which authenticates all of its epoch before it; so must the last block of every
epoch, by that epoch's validators (C13).

What the audit cannot know: whether the genesis document is the one that the members agreed on (compare the chain id),
and what the artifacts hold.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields

from protocol.beacon.group_key import check_proof
from protocol.beacon_history import BeaconHistory, DrawnOutput, KeyHistory
from protocol.blocks import (
    GENESIS_HEIGHT,
    BlockHeader,
    check_block_signature,
    check_reveal,
    compute_block_hash,
    compute_operations_root,
)
from protocol.differences import find_difference
from protocol.epochs import is_last_of_epoch
from protocol.errors import InvalidBlock, InvalidMessage, MalformedMessage, ProtocolError
from protocol.export import ExportedBlock, ExportTrailer, Readable, iterate_frames, read_genesis
from protocol.finality import check_finalization
from protocol.genesis import Genesis, compute_chain_id
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.ledger.state import Account, LedgerState, build_validator_set, compute_state_root, get_account_members
from protocol.ledger.transition import apply_block, check_block_operations, check_position
from protocol.outcomes import BlockOutcome, Verdict
from protocol.refusals import Refusal
from protocol.units import Digest, Height, Round, Stake
from protocol.validators import ValidatorSet
from protocol.votes import Certificate, check_certificate


class AuditFailure(ProtocolError):
    """An export is wrong.

    Attributes:
        height: Where the first wrong thing is; 0 is the genesis document.
        what: What is wrong, for people.
    """

    def __init__(self, height: Height, what: str) -> None:
        super().__init__(f"height {height}: {what}")
        self.height = height
        self.what = what


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What a good export holds."""

    chain_id: Digest
    """To be compared with the one that the members agreed on."""
    network_name: str
    height: Height
    tip_hash: Digest
    state_root: Digest
    rounds: Round
    """How many rounds have settled."""
    verdicts: tuple[tuple[Verdict, int], ...]
    """How many rounds came to each verdict."""
    degraded_count: int
    """How many rounds drew from the RANDAO mix (B5)."""
    beacon_keys: tuple[KeyHistory, ...]
    """Every group key with the outputs that were checked against it (B2)."""
    outputs_without_key: tuple[DrawnOutput, ...]
    """Of the rounds that opened before there was a key."""
    supply: Stake
    treasury: Stake
    accounts: tuple[Account, ...]
    model_digest: Digest
    operation_count: int
    refusals: tuple[tuple[Refusal, int], ...]
    """How many operations the ledger refused, by the rule; only those that occurred, in the order of their numbers."""
    certificate_count: int
    """How many blocks had their certificate checked; the others are authenticated by a later one."""
    signature_count: int
    """How many signatures were checked, of all kinds."""

    @property
    def refused_count(self) -> int:
        """How many operations the ledger refused."""
        return sum(count for _, count in self.refusals)


@dataclass(slots=True, kw_only=True)
class _Replay:
    """The state of an audit between two blocks."""

    genesis: Genesis
    chain_id: Digest
    validators: ValidatorSet
    """Of the epoch of the next block."""
    state: LedgerState
    is_tip_certified: bool = True
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    degraded_count: int = 0
    beacon: BeaconHistory = field(default_factory=BeaconHistory)
    operation_count: int = 0
    refusals: Counter[Refusal] = field(default_factory=Counter)
    certificate_count: int = 0
    signature_count: int = 0


def verify_export(source: Readable, *, on_progress: Callable[[Height], None] | None = None) -> AuditReport:
    """Replay an export from genesis and return what it holds.

    Args:
        source: A binary file, read front to back, one frame at a time.
        on_progress: Called with each height that was found good.

    Raises:
        AuditFailure: The first wrong thing, and its height.
    """
    replay: _Replay | None = None
    try:
        replay = _open_replay(source)
        for frame in iterate_frames(source):
            if isinstance(frame, ExportTrailer):
                _check_end(replay, frame, source)
                return _build_report(replay)
            _check_block(replay, frame)
            if on_progress is not None:
                on_progress(replay.state.height)
    except (MalformedMessage, InvalidMessage) as error:
        height = GENESIS_HEIGHT if replay is None else Height(replay.state.height + 1)
        raise AuditFailure(height, str(error)) from error
    raise AuditFailure(Height(replay.state.height + 1), "the export ends without its trailer")


def _open_replay(source: Readable) -> _Replay:
    genesis = read_genesis(source)
    state = compute_genesis_state(genesis)
    return _Replay(
        genesis=genesis, chain_id=compute_chain_id(genesis), validators=build_validator_set(state), state=state
    )


def _check_block(replay: _Replay, exported: ExportedBlock) -> None:
    header = exported.block.header
    height = Height(replay.state.height + 1)
    try:
        check_position(replay.state, header)
        _check_leader(replay, exported)
        if compute_operations_root(exported.block.operations) != header.operations_root:
            raise InvalidMessage("the operations are not those of the header")
        members = get_account_members(replay.state)
        check_block_operations(replay.chain_id, replay.genesis.parameters, members, exported.block.operations)
        _check_certificate(replay, header, exported.certificate)
        after, outcome = apply_block(replay.genesis.parameters, replay.genesis.schema, replay.state, exported.block)
    except InvalidBlock as error:
        raise AuditFailure(height, error.reason) from error
    except (InvalidMessage, MalformedMessage) as error:
        raise AuditFailure(height, str(error)) from error
    difference = find_difference(outcome, exported.outcome)
    if difference is not None:
        raise AuditFailure(height, difference)
    _count(replay, exported, outcome)
    if after.epoch != replay.state.epoch:
        replay.validators = build_validator_set(after)
    replay.state = after
    replay.beacon.note(after)


def _check_leader(replay: _Replay, exported: ExportedBlock) -> None:
    header = exported.block.header
    leader = replay.validators.compute_leader(header.view)
    if header.leader != leader:
        raise InvalidMessage(
            f"led by {header.leader.hex()[:8]}, the leader drawn for view {header.view} is {leader.hex()[:8]}"
        )
    check_block_signature(replay.chain_id, header, exported.block.signature)
    check_reveal(replay.chain_id, replay.validators.get_validator(leader).bls_key, header)
    if header.beacon is not None:
        check_proof(replay.state.beacon_keys, header.beacon)


def _check_certificate(replay: _Replay, header: BlockHeader, certificate: Certificate | None) -> None:
    """Check a block's certificate, which the last block of an epoch must have: its validators end with it (C13)."""
    if certificate is not None:
        block_hash = compute_block_hash(replay.chain_id, header)
        check_finalization(replay.genesis.parameters, header, block_hash, certificate)
        check_certificate(replay.chain_id, replay.validators, certificate)
    elif is_last_of_epoch(replay.genesis.parameters, header.height):
        raise InvalidMessage(f"the last block of epoch {header.epoch} has no finalization certificate")


def _count(replay: _Replay, exported: ExportedBlock, outcome: BlockOutcome) -> None:
    replay.operation_count += len(outcome.results)
    replay.refusals.update(result.refusal for result in outcome.results if result.refusal is not Refusal.NONE)
    replay.signature_count += 2 + len(outcome.results) + (exported.block.header.beacon is not None)
    if exported.certificate is not None:
        replay.certificate_count += 1
        replay.signature_count += len(exported.certificate.signatures)
    replay.is_tip_certified = exported.certificate is not None
    if outcome.settled is not None:
        replay.verdicts[outcome.settled.verdict] += 1
        replay.degraded_count += outcome.settled.is_degraded


def _check_end(replay: _Replay, trailer: ExportTrailer, source: Readable) -> None:
    state = replay.state
    arrived = ExportTrailer(
        height=state.height,
        block_count=state.height,
        tip_hash=state.block_hash,
        state_root=compute_state_root(state),
    )
    for entry in fields(ExportTrailer):
        if getattr(arrived, entry.name) != getattr(trailer, entry.name):
            raise AuditFailure(state.height, f"the trailer's {entry.name} is not that of the last block")
    if not replay.is_tip_certified:
        raise AuditFailure(state.height, "the last block has no finalization certificate")
    if source.read(1):
        raise AuditFailure(state.height, "there are bytes after the trailer")


def _build_report(replay: _Replay) -> AuditReport:
    state = replay.state
    return AuditReport(
        chain_id=replay.chain_id,
        network_name=replay.genesis.name,
        height=state.height,
        tip_hash=state.block_hash,
        state_root=compute_state_root(state),
        rounds=Round(state.rounds_settled),
        verdicts=tuple((verdict, replay.verdicts[verdict]) for verdict in Verdict),
        degraded_count=replay.degraded_count,
        beacon_keys=replay.beacon.get_keys(),
        outputs_without_key=replay.beacon.get_outputs_without_key(),
        supply=state.supply,
        treasury=state.treasury,
        accounts=state.accounts,
        model_digest=state.model_digest,
        operation_count=replay.operation_count,
        refusals=tuple(sorted(replay.refusals.items())),
        certificate_count=replay.certificate_count,
        signature_count=replay.signature_count,
    )
