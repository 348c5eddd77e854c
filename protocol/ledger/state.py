"""The ledger's state: frozen values whose canonical encoding is a snapshot and whose digest is the state root.

Every collection has one order, so that equal states have equal bytes. What changes a state is in
:mod:`protocol.ledger.transition`.
"""

from dataclasses import dataclass
from typing import Final

from protocol.beacon.randao import compute_first_mix
from protocol.blocks import GENESIS_HEIGHT, GENESIS_VIEW
from protocol.codec import encode
from protocol.crypto import Domain, compute_digest
from protocol.errors import InvalidOperation
from protocol.evidence import Offence
from protocol.genesis import FIRST_EPOCH, Genesis, compute_chain_id
from protocol.ledger.member_entries import Candidacy, MemberEntry, ValidatorWeight
from protocol.ledger.round_entries import FirstAttempt, RevealEntry, SealEntry, UpdateEntry
from protocol.outcomes import Phase, Replacement
from protocol.parameters import Parameters
from protocol.refusals import Refusal
from protocol.units import (
    Digest,
    Epoch,
    Height,
    MemberId,
    Millis,
    Round,
    Sequence,
    Stake,
    View,
    Weight,
)
from protocol.validators import Validator, ValidatorSet

ACCEPTED_MODELS_MAX: Final = 16
"""How many accepted models are remembered to fall back on (F12); the oldest is forgotten first."""

FIRST_ROUND: Final = Round(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnbondingEntry:
    """Stake on its way from bonded to free (L6)."""

    amount: Stake
    """At least 1."""
    release_epoch: Epoch
    """It is released, and no longer slashable, when this epoch begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One member's stake and standing (L2)."""

    member: MemberId
    bonded: Stake
    unbonding: tuple[UnbondingEntry, ...]
    """Ascending by release epoch, one entry for each."""
    free: Stake
    """Neither at work nor slashable."""
    next_sequence: Sequence
    """The number that the member's next operation must carry (L8)."""
    is_jailed: bool
    """Convicted of an offence (L7): drawn for nothing."""
    is_evicted: bool
    """Exhausted in preset ``paper``: out for good (L5)."""
    is_leaving: bool
    """Has asked to leave (L9): what is bonded at the end of an epoch starts to unbond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EligibleMember:
    """A member of the stake snapshot that a round draws from (F1)."""

    member: MemberId
    stake: Stake
    """Bonded when the round opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundState:
    """The open round (section 2)."""

    round: Round
    phase: Phase
    opened_height: Height
    opened_ms: Millis
    deadline_ms: Millis
    """Ledger time at which the phase ends at the latest; 0 in DRAW."""
    base_digest: Digest
    """The model that proposers train from."""
    eligible: tuple[EligibleMember, ...]
    """Fixed when the round opened, sorted by member."""
    beacon_output: Digest | None
    """None in DRAW."""
    is_degraded: bool
    """True if the beacon output came from the RANDAO mix (B5); False in DRAW."""
    proposers: tuple[MemberId, ...]
    """In the order of the draw, as are voters and standbys; empty in DRAW."""
    voters: tuple[MemberId, ...]
    standbys: tuple[MemberId, ...]
    """Those that no place was found for yet."""
    replacements: tuple[Replacement, ...]
    """Each standby has the place in the draw of the silent member that it replaced (F13)."""
    updates: tuple[UpdateEntry, ...]
    """Those that are judged, sorted by (artifact digest, member): the canonical order of flags and aggregation."""
    seals: tuple[SealEntry, ...]
    """Sorted by member."""
    reveals: tuple[RevealEntry, ...]
    """Sorted by member."""
    attempt: int
    """0; 1 in the retrial."""
    first_attempt: FirstAttempt | None
    """What was judged before; None but in the retrial (F11)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerState:
    """Everything that the members agree on after a block."""

    chain_id: Digest
    height: Height
    view: View
    time_ms: Millis
    block_hash: Digest
    """The chain id at height 0."""
    mix: Digest
    """The RANDAO mix (B5)."""
    epoch: Epoch
    """Of the next block (C13)."""
    epoch_seed: Digest
    """Where the leaders of the epoch are drawn from."""
    validators: tuple[ValidatorWeight, ...]
    """The consensus members of the epoch, sorted by member."""
    members: tuple[MemberEntry, ...]
    """Everybody with an account, sorted by member."""
    candidacies: tuple[Candidacy, ...]
    """Sorted by member."""
    supply: Stake
    """The sum of all stake, treasury and burned; constant between mints (L2)."""
    treasury: Stake
    burned: Stake
    accounts: tuple[Account, ...]
    """Sorted by member."""
    round: RoundState | None
    """None while too few members are eligible, or after the last round."""
    next_round: Round
    """The number of the round that opens next."""
    model_digest: Digest
    accepted_models: tuple[Digest, ...]
    """Newest last, at least one; the first one ever is the genesis model."""
    lineage_digest: Digest
    """Hash chain over the records of all settled rounds (F12)."""
    offences: tuple[Offence, ...]
    """Convictions within the evidence window, sorted by member, epoch and view: evidence is idempotent (L7)."""
    rounds_settled: int


def compute_genesis_state(genesis: Genesis) -> LedgerState:
    """Return the state at height 0: every founder bonded, and round 1 open if enough of them may be drawn."""
    chain_id = compute_chain_id(genesis)
    accounts = tuple(
        Account(
            member=founder.member,
            bonded=founder.bonded,
            unbonding=(),
            free=Stake(0),
            next_sequence=Sequence(0),
            is_jailed=False,
            is_evicted=False,
            is_leaving=False,
        )
        for founder in genesis.founders
    )
    treasury = genesis.parameters.treasury_initial
    round_state = build_round(
        genesis.parameters,
        accounts,
        round_number=FIRST_ROUND,
        height=GENESIS_HEIGHT,
        time_ms=genesis.created_ms,
        base_digest=genesis.model_digest,
    )
    return LedgerState(
        chain_id=chain_id,
        height=GENESIS_HEIGHT,
        view=GENESIS_VIEW,
        time_ms=genesis.created_ms,
        block_hash=chain_id,
        mix=compute_first_mix(chain_id, genesis.seed),
        epoch=FIRST_EPOCH,
        epoch_seed=genesis.seed,
        validators=tuple(
            ValidatorWeight(member=founder.member, weight=Weight(founder.bonded)) for founder in genesis.founders
        ),
        members=tuple(
            MemberEntry(
                member=founder.member, name=founder.name, bls_key=founder.bls_key, addresses=founder.addresses
            )
            for founder in genesis.founders
        ),
        candidacies=(),
        supply=Stake(sum(account.bonded for account in accounts) + treasury),
        treasury=treasury,
        burned=Stake(0),
        accounts=accounts,
        round=round_state,
        next_round=FIRST_ROUND if round_state is None else Round(FIRST_ROUND + 1),
        model_digest=genesis.model_digest,
        accepted_models=(genesis.model_digest,),
        lineage_digest=compute_digest(Domain.LINEAGE, chain_id),
        offences=(),
        rounds_settled=0,
    )


def compute_state_root(state: LedgerState) -> Digest:
    """Return the digest of a state's canonical encoding."""
    return compute_digest(Domain.STATE, encode(state))


def build_validator_set(state: LedgerState) -> ValidatorSet:
    """Return the validators of the state's epoch (C13)."""
    bls_keys = {entry.member: entry.bls_key for entry in state.members}
    return ValidatorSet(
        epoch=state.epoch,
        seed=state.epoch_seed,
        validators=tuple(
            Validator(member=entry.member, weight=entry.weight, bls_key=bls_keys[entry.member])
            for entry in state.validators
        ),
    )


def get_account(state: LedgerState, member: MemberId) -> Account:
    """Return a member's account.

    Raises:
        InvalidOperation: There is none.
    """
    for account in state.accounts:
        if account.member == member:
            return account
    raise InvalidOperation(Refusal.NOT_A_MEMBER, member.hex()[:8])


def get_account_members(state: LedgerState) -> frozenset[MemberId]:
    """Return everybody with an account; changes between epochs only."""
    return frozenset(account.member for account in state.accounts)


def compute_unbonding_total(account: Account) -> Stake:
    """Return all stake of an account that is unbonding."""
    return Stake(sum(entry.amount for entry in account.unbonding))


def is_exhausted(parameters: Parameters, account: Account) -> bool:
    """Return whether a member has too little bonded to be drawn (L5)."""
    return account.bonded < parameters.bond_min


def has_left(account: Account) -> bool:
    """Return whether a member has left: it asked to, and nothing of it is at stake any more (L9)."""
    return account.is_leaving and account.bonded + compute_unbonding_total(account) == 0


def get_connected_members(state: LedgerState) -> tuple[MemberEntry, ...]:
    """Return the members that may connect: all but those that have left (L1, L9)."""
    gone = {account.member for account in state.accounts if has_left(account)}
    return tuple(entry for entry in state.members if entry.member not in gone)


def is_eligible(parameters: Parameters, account: Account) -> bool:
    """Return whether a member may be drawn in a round that opens now (F1)."""
    return not (is_exhausted(parameters, account) or account.is_jailed or account.is_evicted)


def build_round(
    parameters: Parameters,
    accounts: tuple[Account, ...],
    *,
    round_number: Round,
    height: Height,
    time_ms: Millis,
    base_digest: Digest,
) -> RoundState | None:
    """Return the round that opens with these accounts, or None if none may (F1).

    Args:
        parameters: The network's.
        accounts: Sorted by member; who is eligible, and its stake, is fixed here for the whole round.
        round_number: The number of the round.
        height: The block that opens it.
        time_ms: That block's ledger time.
        base_digest: The model to train from.
    """
    eligible = tuple(
        EligibleMember(member=account.member, stake=account.bonded)
        for account in accounts
        if is_eligible(parameters, account)
    )
    is_job_done = 0 < parameters.rounds_max < round_number
    if is_job_done or len(eligible) < 2:
        return None
    return RoundState(
        round=round_number,
        phase=Phase.DRAW,
        opened_height=height,
        opened_ms=time_ms,
        deadline_ms=Millis(0),
        base_digest=base_digest,
        eligible=eligible,
        beacon_output=None,
        is_degraded=False,
        proposers=(),
        voters=(),
        standbys=(),
        replacements=(),
        updates=(),
        seals=(),
        reveals=(),
        attempt=0,
        first_attempt=None,
    )
