"""A small network on one heap: founders with keys, a genesis document, and a ledger that grows block by block.

Everything is deterministic. :class:`LedgerBuilder` plays all the members that a test does not play itself.
"""

from collections.abc import Callable, Iterable
from collections.abc import Sequence as Items
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final

from protocol.blocks import Block, BlockHeader, compute_block_hash, compute_operations_root, compute_reveal, sign_block
from protocol.bls import BlsSigningKey
from protocol.codec import encode
from protocol.crypto import SigningKey
from protocol.epochs import is_last_of_epoch
from protocol.export import ExportedBlock
from protocol.genesis import (
    GENESIS_VERSION,
    Founder,
    Genesis,
    TaskSpec,
    compute_chain_id,
)
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.ledger.state import LedgerState, RoundState, build_validator_set, get_account
from protocol.ledger.transition import apply_block
from protocol.operations import (
    Ballot,
    Payload,
    SealBallot,
    compute_seal,
    sign_operation,
)
from protocol.outcomes import BlockOutcome, Phase, RoundRecord
from protocol.parameters import Parameters
from protocol.units import Digest, Epoch, Height, MemberId, Millis, Sequence, Stake, View
from protocol.validators import ValidatorSet
from protocol.votes import Certificate, VoteKind, build_certificate, sign_vote
from tests.values import (
    SCHEMA,
    make_ballot,
    make_candidate,
    make_digest,
    make_equivocation,
    make_manifest,
    make_reveal,
    make_salt,
)

__all__ = [
    "BLOCK_MS",
    "CREATED_MS",
    "STAKE",
    "BuiltBlock",
    "FounderKeys",
    "LedgerBuilder",
    "certify",
    "encode_operation",
    "make_founders",
    "make_genesis",
    "SCHEMA",
    "make_ballot",
    "make_candidate",
    "make_digest",
    "make_equivocation",
    "make_manifest",
    "make_reveal",
    "make_salt",
]

CREATED_MS: Final = Millis(1_700_000_000_000)
BLOCK_MS: Final = 100
STAKE: Final = Parameters().stake_initial


@dataclass(frozen=True, slots=True, kw_only=True)
class FounderKeys:
    """A founder with its secrets."""

    signing_key: SigningKey
    bls_key: BlsSigningKey
    founder: Founder

    @property
    def member(self) -> MemberId:
        """The founder's member id."""
        return self.founder.member


@cache
def _make_keys(index: int) -> tuple[SigningKey, BlsSigningKey, Founder]:
    signing_key = SigningKey(make_digest("ed25519", index))
    bls_key = BlsSigningKey(make_digest("bls", index) + make_digest("bls", index, "more"))
    founder = Founder(
        member=signing_key.member,
        name=f"member-{index}",
        bls_key=bls_key.public_key,
        possession=bls_key.prove_possession(),
        addresses=(f"/ip4/127.0.0.1/tcp/{4_000 + index}",),
        bonded=Stake(1),
    )
    return signing_key, bls_key, founder


def make_founders(count: int, *, bonded: Stake | Items[Stake] = STAKE) -> tuple[FounderKeys, ...]:
    """Return founders sorted by member, each with its keys.

    Args:
        count: How many.
        bonded: Everybody's stake, or one per founder in the sorted order.
    """
    parts = sorted((_make_keys(index) for index in range(count)), key=lambda part: part[2].member)
    stakes = [Stake(bonded)] * count if isinstance(bonded, int) else list(bonded)
    return tuple(
        FounderKeys(signing_key=signing_key, bls_key=bls_key, founder=replace(founder, bonded=stake))
        for (signing_key, bls_key, founder), stake in zip(parts, stakes, strict=True)
    )


def make_genesis(founders: Iterable[FounderKeys], *, parameters: Parameters | None = None) -> Genesis:
    """Return a genesis document of a tiny task."""
    return Genesis(
        version=GENESIS_VERSION,
        name="test",
        created_ms=CREATED_MS,
        seed=make_digest("seed"),
        parameters=parameters or Parameters(),
        founders=tuple(keys.founder for keys in founders),
        task=TaskSpec(name="digits", params=(("split", "iid"),)),
        schema=SCHEMA,
        model_digest=make_digest("genesis model"),
        model_bytes=1_000,
    )


def certify(
    chain_id: Digest,
    validators: ValidatorSet,
    keys: Iterable[FounderKeys],
    header: BlockHeader,
    kind: VoteKind = VoteKind.FINALIZE,
) -> Certificate:
    """Return the certificate of a block that these founders sign."""
    block_hash = compute_block_hash(chain_id, header)
    votes = tuple(
        sign_vote(chain_id, founder.signing_key, epoch=header.epoch, kind=kind, view=header.view, block_hash=block_hash)
        for founder in keys
    )
    return build_certificate(validators, votes)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltBlock:
    """A block with what executing it did."""

    block: Block
    outcome: BlockOutcome


@dataclass(slots=True)
class LedgerBuilder:
    """Builds a valid chain block by block and keeps the ledger's state after the last one."""

    founders: tuple[FounderKeys, ...]
    parameters: Parameters = field(default_factory=Parameters)
    genesis: Genesis = field(init=False)
    chain_id: Digest = field(init=False)
    state: LedgerState = field(init=False)
    blocks: list[BuiltBlock] = field(init=False, default_factory=list)
    epochs: dict[Epoch, ValidatorSet] = field(init=False, default_factory=dict)
    """The validators of every epoch so far."""

    def __post_init__(self) -> None:
        """Start at height 0."""
        self.genesis = make_genesis(self.founders, parameters=self.parameters)
        self.chain_id = compute_chain_id(self.genesis)
        self.state = compute_genesis_state(self.genesis)

    @property
    def validators(self) -> ValidatorSet:
        """The validators of the next block's epoch."""
        return self.epochs.setdefault(self.state.epoch, build_validator_set(self.state))

    @property
    def round(self) -> RoundState:
        """The open round."""
        assert self.state.round is not None
        return self.state.round

    def get_keys(self, member: MemberId) -> FounderKeys:
        """Return the keys of a member."""
        return next(keys for keys in self.founders if keys.member == member)

    def sign(self, member: MemberId, payload: Payload, *, offset: int = 0) -> bytes:
        """Return an encoded operation with the member's next sequence number plus an offset."""
        sequence = Sequence(get_account(self.state, member).next_sequence + offset)
        return encode_operation(self.chain_id, self.get_keys(member).signing_key, sequence, payload)

    def sign_all(self, pairs: Iterable[tuple[MemberId, Payload]]) -> tuple[bytes, ...]:
        """Return encoded operations for one block, numbered on where a member has several."""
        counts: dict[MemberId, int] = {}
        encoded = []
        for member, payload in pairs:
            encoded.append(self.sign(member, payload, offset=counts.get(member, 0)))
            counts[member] = counts.get(member, 0) + 1
        return tuple(encoded)

    def build_block(
        self, operations: tuple[bytes, ...] = (), *, time_ms: Millis | None = None, view: View | None = None
    ) -> Block:
        """Return the next block, led and signed by whoever leads its view."""
        view = View(self.state.view + 1) if view is None else view
        leader = self.get_keys(self.validators.compute_leader(view))
        header = BlockHeader(
            epoch=self.state.epoch,
            view=view,
            parent_view=self.state.view,
            parent_hash=self.state.block_hash,
            height=Height(self.state.height + 1),
            time_ms=Millis(self.state.time_ms + BLOCK_MS) if time_ms is None else time_ms,
            operations_root=compute_operations_root(operations),
            reveal=compute_reveal(self.chain_id, leader.bls_key, self.state.epoch, view),
            leader=leader.member,
        )
        return sign_block(self.chain_id, leader.signing_key, header, operations)

    def add_block(
        self, operations: tuple[bytes, ...] = (), *, time_ms: Millis | None = None, view: View | None = None
    ) -> BlockOutcome:
        """Build the next block, execute it, and return what it did."""
        block = self.build_block(operations, time_ms=time_ms, view=view)
        self.state, outcome = apply_block(self.parameters, SCHEMA, self.state, block)
        self.blocks.append(BuiltBlock(block=block, outcome=outcome))
        return outcome

    def add_payloads(self, *pairs: tuple[MemberId, Payload], time_ms: Millis | None = None) -> BlockOutcome:
        """Add a block of these operations, all of them with the right sequence numbers."""
        return self.add_block(self.sign_all(pairs), time_ms=time_ms)

    def certify(self, block: Block, signers: Iterable[FounderKeys] | None = None) -> Certificate:
        """Return the finalization of a block by all founders that validate its epoch, or by those given."""
        validators = self.epochs[block.header.epoch]
        everybody = [keys for keys in self.founders if validators.has_member(keys.member)]
        return certify(self.chain_id, validators, everybody if signers is None else signers, block.header)

    def export(self, certified: Callable[[Height], bool] = lambda _: False) -> tuple[ExportedBlock, ...]:
        """Return the chain as an export holds it: the last block of each epoch certified, and those that are chosen."""

        def is_certified(built: BuiltBlock, height: Height) -> bool:
            return built is self.blocks[-1] or is_last_of_epoch(self.parameters, height) or certified(height)

        return tuple(
            ExportedBlock(
                block=built.block,
                certificate=self.certify(built.block) if is_certified(built, Height(index)) else None,
                outcome=built.outcome,
            )
            for index, built in enumerate(self.blocks, start=1)
        )

    def run_draw(self) -> BlockOutcome:
        """Add the block that draws the open round's roles."""
        assert self.round.phase is Phase.DRAW
        return self.add_block()

    def run_training(self, *, silent: Items[MemberId] = ()) -> BlockOutcome:
        """Let the proposers submit, in one block; with silent ones, a further block passes the deadline."""
        assert self.round.phase is Phase.TRAIN
        submissions = [
            (member, make_manifest(self.round, artifact=make_digest("update", self.round.round, member)))
            for member in self.round.proposers
            if member not in silent
        ]
        return self._add_with_deadline(submissions, is_complete=not silent)

    def run_sealing(self, ballots: dict[MemberId, Ballot]) -> BlockOutcome:
        """Let these voters seal these ballots; if any voter is missing, a further block passes the deadline."""
        assert self.round.phase is Phase.SEAL
        sealed = [entry.member for entry in self.round.seals]
        seals = [
            (
                member,
                SealBallot(
                    round=self.round.round,
                    attempt=self.round.attempt,
                    seal=compute_seal(
                        member, self.round.round, self.round.attempt, ballot, make_salt(member, self.round)
                    ),
                ),
            )
            for member, ballot in ballots.items()
        ]
        return self._add_with_deadline(seals, is_complete=len(sealed) + len(seals) == len(self.round.voters))

    def run_revealing(self, ballots: dict[MemberId, Ballot]) -> BlockOutcome:
        """Let these voters reveal what they sealed; if any is missing, a further block passes the deadline."""
        assert self.round.phase is Phase.REVEAL
        reveals = [(member, make_reveal(self.round, member, ballot)) for member, ballot in ballots.items()]
        return self._add_with_deadline(reveals, is_complete=len(reveals) == len(self.round.seals))

    def run_voting(self, choose: Callable[[MemberId], Ballot]) -> RoundRecord:
        """Let every voter seal and reveal the ballot that ``choose`` gives it, and return the settled round."""
        settled = self.run_attempt(choose).settled
        assert settled is not None
        return settled

    def run_attempt(self, choose: Callable[[MemberId], Ballot]) -> BlockOutcome:
        """Let every voter seal and reveal the ballot that ``choose`` gives it; a retrial may follow (F11)."""
        ballots = {member: choose(member) for member in self.round.voters}
        self.run_sealing(ballots)
        return self.run_revealing(ballots)

    def run_to_sealing(self) -> RoundState:
        """Draw the open round, let all its proposers submit, and return it as its voters see it."""
        self.run_draw()
        self.run_training()
        return self.round

    def run_round(self, *, is_accept: bool = True) -> RoundRecord:
        """Run a whole round, drawn or not yet, in which everybody answers and all voters agree."""
        if self.round.phase is Phase.DRAW:
            self.run_draw()
        self.run_training()
        round_state = self.round
        return self.run_voting(lambda _: make_ballot(round_state, is_accept=is_accept))

    def pass_deadline(self) -> BlockOutcome:
        """Add an empty block at the deadline of the phase."""
        return self.add_block(time_ms=self.round.deadline_ms)

    def pass_deadlines(self) -> RoundRecord:
        """Let every deadline of a round pass in silence, and return the round when it has settled."""
        settled = None
        while settled is None:
            settled = self.pass_deadline().settled
        return settled

    def _add_with_deadline(self, pairs: Items[tuple[MemberId, Payload]], *, is_complete: bool) -> BlockOutcome:
        outcome = self.add_payloads(*pairs)
        return outcome if is_complete else self.pass_deadline()


def encode_operation(chain_id: Digest, key: SigningKey, sequence: Sequence, payload: Payload) -> bytes:
    """Return a signed and encoded operation."""
    return encode(sign_operation(chain_id, key, sequence, payload))
