"""The private draft of one block: a mutable copy of the state that becomes the next state, or is dropped on any error.

Accounts and rounds inside stay frozen and are replaced, so a draft shares nothing mutable with the state it came from.
"""

from dataclasses import dataclass, field

from protocol.beacon.group_key import GroupKey
from protocol.errors import InvalidOperation, InvariantViolation
from protocol.evidence import Offence
from protocol.ledger.member_entries import Candidacy, MemberEntry, ValidatorWeight
from protocol.ledger.state import Account, DealEntry, LedgerState, RoundState
from protocol.outcomes import StakeMove
from protocol.refusals import Refusal
from protocol.units import Digest, Epoch, Height, MemberId, Millis, Round, Stake, View


@dataclass(slots=True, kw_only=True)
class LedgerDraft:
    """The state under a block's hands; its fields are those of :class:`LedgerState`."""

    chain_id: Digest
    height: Height
    view: View
    time_ms: Millis
    block_hash: Digest
    mix: Digest
    epoch: Epoch
    epoch_seed: Digest
    validators: tuple[ValidatorWeight, ...]
    members: tuple[MemberEntry, ...]
    candidacies: dict[MemberId, Candidacy]
    deals: tuple[DealEntry, ...]
    beacon_keys: tuple[GroupKey, ...]
    supply: Stake
    treasury: Stake
    burned: Stake
    accounts: dict[MemberId, Account]
    """Inserted in the order of members, which replacing keeps."""
    round: RoundState | None
    next_round: Round
    model_digest: Digest
    accepted_models: tuple[Digest, ...]
    lineage_digest: Digest
    offences: set[Offence]
    rounds_settled: int
    moves: list[StakeMove] = field(default_factory=list)
    """The block's moves outside of a settlement, in order."""

    def get_account(self, member: MemberId) -> Account:
        """Return a member's account.

        Raises:
            InvalidOperation: There is none.
        """
        account = self.accounts.get(member)
        if account is None:
            raise InvalidOperation(Refusal.NOT_A_MEMBER, member.hex()[:8])
        return account

    def get_round(self) -> RoundState:
        """Return the open round.

        Raises:
            InvalidOperation: None is open.
        """
        if self.round is None:
            raise InvalidOperation(Refusal.NO_ROUND_OPEN)
        return self.round


def open_draft(state: LedgerState) -> LedgerDraft:
    """Return a draft that equals a state."""
    return LedgerDraft(
        chain_id=state.chain_id,
        height=state.height,
        view=state.view,
        time_ms=state.time_ms,
        block_hash=state.block_hash,
        mix=state.mix,
        epoch=state.epoch,
        epoch_seed=state.epoch_seed,
        validators=state.validators,
        members=state.members,
        candidacies={entry.card.member: entry for entry in state.candidacies},
        deals=state.deals,
        beacon_keys=state.beacon_keys,
        supply=state.supply,
        treasury=state.treasury,
        burned=state.burned,
        accounts={account.member: account for account in state.accounts},
        round=state.round,
        next_round=state.next_round,
        model_digest=state.model_digest,
        accepted_models=state.accepted_models,
        lineage_digest=state.lineage_digest,
        offences=set(state.offences),
        rounds_settled=state.rounds_settled,
    )


def close_draft(draft: LedgerDraft) -> LedgerState:
    """Return the state that a draft has become.

    Raises:
        InvariantViolation: Stake was created or lost on the way (L2).
    """
    check_supply(draft)
    return LedgerState(
        chain_id=draft.chain_id,
        height=draft.height,
        view=draft.view,
        time_ms=draft.time_ms,
        block_hash=draft.block_hash,
        mix=draft.mix,
        epoch=draft.epoch,
        epoch_seed=draft.epoch_seed,
        validators=draft.validators,
        members=draft.members,
        candidacies=tuple(entry for _, entry in sorted(draft.candidacies.items())),
        deals=draft.deals,
        beacon_keys=draft.beacon_keys,
        supply=draft.supply,
        treasury=draft.treasury,
        burned=draft.burned,
        accounts=tuple(account for _, account in sorted(draft.accounts.items())),
        round=draft.round,
        next_round=draft.next_round,
        model_digest=draft.model_digest,
        accepted_models=draft.accepted_models,
        lineage_digest=draft.lineage_digest,
        offences=tuple(sorted(draft.offences, key=lambda offence: (offence.member, offence.epoch, offence.view))),
        rounds_settled=draft.rounds_settled,
    )


def check_supply(draft: LedgerDraft) -> None:
    """Check that every micro-token is somewhere, once (L2).

    Raises:
        InvariantViolation: An amount is negative, or the sum is not the supply.
    """
    amounts = [draft.treasury, draft.burned]
    for account in draft.accounts.values():
        amounts += [account.bonded, account.free, *(entry.amount for entry in account.unbonding)]
    if min(amounts) < 0:
        raise InvariantViolation(f"height {draft.height}: an amount of stake is negative")
    if sum(amounts) != draft.supply:
        raise InvariantViolation(f"height {draft.height}: stake sums to {sum(amounts)}, the supply is {draft.supply}")
