"""The ledger's state: frozen values whose canonical encoding is a snapshot and whose digest is the state root.

Every collection has one order, so that equal states have equal bytes. What changes a state is in
:mod:`protocol.ledger.transition`.
"""

from dataclasses import dataclass
from typing import Final

from protocol.beacon.dealing import Ceremony
from protocol.beacon.group_key import GroupKey
from protocol.beacon.schedule import Waiting
from protocol.blocks import BeaconProof
from protocol.codec import encode
from protocol.crypto import Domain, compute_digest
from protocol.errors import InvalidOperation
from protocol.evidence import Offence
from protocol.ledger.member_entries import Candidacy, MemberEntry, ValidatorWeight
from protocol.ledger.round_entries import FirstAttempt, RevealEntry, SealEntry, UpdateEntry
from protocol.operations import PostDeal
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
)
from protocol.validators import Validator, ValidatorSet

ACCEPTED_MODELS_MAX: Final = 16
"""How many accepted models are remembered to fall back on (F12); the oldest is forgotten first."""


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
    key_epoch: Epoch | None
    """The group key that was in use when the round opened, whose output it draws from; None draws from the mix."""
    beacon_output: Digest | None
    """None in DRAW."""
    beacon: BeaconProof | None
    """The output's proof; None in DRAW, and if the output came from the RANDAO mix."""
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
class DealEntry:
    """A deal of the epoch's ceremony, and what was made of it (B4)."""

    dealer: MemberId
    deal: PostDeal
    is_disqualified: bool
    """Shown to have dealt a wrong share."""
    complainers: tuple[MemberId, ...]
    """Who has complained of it, sorted."""


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
    deals: tuple[DealEntry, ...]
    """Of the epoch's ceremony so far, sorted by dealer (B4)."""
    beacon_keys: tuple[GroupKey, ...]
    """The group key in use last, before it the one that it followed; none before the first ceremony has ended."""
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


def build_ceremony(
    chain_id: Digest, epoch: Epoch, validators: tuple[ValidatorWeight, ...], members: tuple[MemberEntry, ...]
) -> Ceremony:
    """Return the key generation of an epoch with these validators (B4)."""
    bls_keys = {entry.member: entry.bls_key for entry in members}
    return Ceremony(
        chain_id=chain_id,
        epoch=epoch,
        dealers=tuple(entry.member for entry in validators),
        bls_keys=tuple(bls_keys[entry.member] for entry in validators),
    )


def get_waiting(round_state: RoundState) -> Waiting:
    """Return what a round in DRAW waits for."""
    return Waiting(
        round=round_state.round,
        opened_height=round_state.opened_height,
        opened_ms=round_state.opened_ms,
        key_epoch=round_state.key_epoch,
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


def is_known_member(state: LedgerState, member: MemberId) -> bool:
    """Return whether somebody has an account, or waits for admission at the end of the epoch."""
    return member in get_account_members(state) or any(entry.card.member == member for entry in state.candidacies)


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
    key_epoch: Epoch | None,
) -> RoundState | None:
    """Return the round that opens with these accounts, or None if none may (F1).

    Args:
        parameters: The network's.
        accounts: Sorted by member; who is eligible, and its stake, is fixed here for the whole round.
        round_number: The number of the round.
        height: The block that opens it.
        time_ms: That block's ledger time.
        base_digest: The model to train from.
        key_epoch: Which group key is in use, if any.
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
        key_epoch=key_epoch,
        beacon_output=None,
        beacon=None,
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
