"""The only things that move stake between a member, its unbonding entries and the treasury (L3 to L6).

Each function checks its arithmetic and keeps the sum; who is to pay or be paid is decided in
:mod:`protocol.ledger.settlement` and :mod:`protocol.ledger.slashing`.
"""

from dataclasses import replace

from protocol.errors import InvariantViolation
from protocol.ledger.draft import LedgerDraft
from protocol.ledger.state import UnbondingEntry
from protocol.outcomes import StakeMove, StakeReason
from protocol.units import Epoch, MemberId, Stake


def apply_bond(draft: LedgerDraft, member: MemberId, amount: Stake) -> None:
    """Move free stake to bonded; the caller has checked that there is enough (L3)."""
    account = draft.get_account(member)
    if not 0 < amount <= account.free:
        raise InvariantViolation(f"bond {amount} of {account.free} free")
    draft.accounts[member] = replace(account, bonded=Stake(account.bonded + amount), free=Stake(account.free - amount))
    draft.moves.append(StakeMove(member=member, reason=StakeReason.BOND, amount=amount))


def apply_unbond(draft: LedgerDraft, member: MemberId, amount: Stake, *, release_epoch: Epoch) -> None:
    """Move bonded stake to unbonding; the caller has checked that there is enough (L6)."""
    account = draft.get_account(member)
    if not 0 < amount <= account.bonded:
        raise InvariantViolation(f"unbond {amount} of {account.bonded} bonded")
    by_epoch = {entry.release_epoch: entry.amount for entry in account.unbonding}
    by_epoch[release_epoch] = Stake(by_epoch.get(release_epoch, 0) + amount)
    entries = tuple(UnbondingEntry(amount=held, release_epoch=epoch) for epoch, held in sorted(by_epoch.items()))
    draft.accounts[member] = replace(account, bonded=Stake(account.bonded - amount), unbonding=entries)
    draft.moves.append(StakeMove(member=member, reason=StakeReason.UNBOND, amount=amount))


def release_unbonding(draft: LedgerDraft) -> None:
    """Set free what is due in the draft's epoch; to be called when an epoch begins (L6)."""
    for member, account in sorted(draft.accounts.items()):
        due = Stake(sum(entry.amount for entry in account.unbonding if entry.release_epoch <= draft.epoch))
        if due:
            kept = tuple(entry for entry in account.unbonding if entry.release_epoch > draft.epoch)
            draft.accounts[member] = replace(account, unbonding=kept, free=Stake(account.free + due))
            draft.moves.append(StakeMove(member=member, reason=StakeReason.RELEASE, amount=due))


def apply_mint(draft: LedgerDraft, member: MemberId, amount: Stake) -> None:
    """Create a newcomer's bond: the one thing that changes the supply (L2, L9)."""
    if amount < 1:
        raise InvariantViolation(f"mint {amount}")
    account = draft.get_account(member)
    draft.accounts[member] = replace(account, bonded=Stake(account.bonded + amount))
    draft.supply = Stake(draft.supply + amount)
    draft.moves.append(StakeMove(member=member, reason=StakeReason.MINT, amount=amount))


def apply_slash(draft: LedgerDraft, member: MemberId, amount: Stake) -> Stake:
    """Move up to ``amount`` from a member to the treasury and return what was taken (L3, L4).

    Bonded stake first, then unbonding, the soonest to be released first; free stake is never touched.
    """
    account = draft.get_account(member)
    from_bonded = min(amount, account.bonded)
    missing = amount - from_bonded
    entries: list[UnbondingEntry] = []
    for entry in account.unbonding:
        taken = min(missing, entry.amount)
        missing -= taken
        if taken < entry.amount:
            entries.append(replace(entry, amount=Stake(entry.amount - taken)))
    total = Stake(amount - missing)
    draft.accounts[member] = replace(account, bonded=Stake(account.bonded - from_bonded), unbonding=tuple(entries))
    draft.treasury = Stake(draft.treasury + total)
    return total


def apply_payment(draft: LedgerDraft, member: MemberId, amount: Stake) -> None:
    """Move stake from the treasury to a member's bonded stake; the caller has checked that there is enough (L3)."""
    if not 0 <= amount <= draft.treasury:
        raise InvariantViolation(f"pay {amount} from a treasury of {draft.treasury}")
    account = draft.get_account(member)
    draft.accounts[member] = replace(account, bonded=Stake(account.bonded + amount))
    draft.treasury = Stake(draft.treasury - amount)
