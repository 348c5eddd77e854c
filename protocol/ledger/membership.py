"""Who joins and who leaves, and what happens between two epochs (C13, L6, L9).

Members, weights and the leaders' seed change in one place only, when the last block of an epoch has been executed. The
approvals that count are those of the ending epoch's validators, by their weight in it. A member that leaves keeps its
duties until then, and can be slashed until its stake is released. One that has left may be asked for again; joining
anew ends an earlier conviction, since more than two thirds of the weight have approved of it.
"""

from dataclasses import replace
from typing import Final

from protocol.cards import check_card_content
from protocol.crypto import Domain, compute_digest
from protocol.epochs import is_last_of_epoch
from protocol.errors import InvalidMessage, InvalidOperation
from protocol.ledger.draft import LedgerDraft
from protocol.ledger.member_entries import Candidacy, MemberEntry, ValidatorWeight
from protocol.ledger.slashing import forget_old_offences
from protocol.ledger.stake import apply_mint, apply_unbond, release_unbonding
from protocol.ledger.state import Account, has_left, is_eligible
from protocol.operations import Approve, Join
from protocol.parameters import Parameters
from protocol.refusals import Refusal
from protocol.units import Epoch, MemberId, Sequence, Stake, Weight
from protocol.validators import compute_quorum_weight

MEMBERS_MAX: Final = 256
"""Accounts that a ledger has at most: a certificate holds a signature of every validator."""

CANDIDACIES_PER_MEMBER_MAX: Final = 4
"""Newcomers that one member may ask for at a time, so that nobody crowds out the others."""

CANDIDACY_EPOCHS: Final = 10
"""A newcomer that is not approved for so many epochs has to be asked for again."""

BOND_MAX: Final = Stake(10**15)


def check_join(draft: LedgerDraft, parameters: Parameters, asking: MemberId, payload: Join) -> None:
    """Check that a member may ask for a newcomer (L9).

    Raises:
        InvalidOperation: It is no validator or asks for too many, the card does not hold, its member or name is taken,
            or the bond is out of bounds.
    """
    _check_is_validator(draft, asking)
    card = payload.card
    known = draft.accounts.get(card.member)
    if known is not None and not has_left(known):
        raise InvalidOperation(Refusal.NEWCOMER_IS_MEMBER, card.member.hex()[:8])
    if card.member in draft.candidacies:
        raise InvalidOperation(Refusal.NEWCOMER_WAITS, card.member.hex()[:8])
    if known is None and len(draft.accounts) >= MEMBERS_MAX:
        raise InvalidOperation(Refusal.ACCOUNTS_FULL, f"{MEMBERS_MAX} accounts")
    asked = sum(entry.approvals[0] == asking for entry in draft.candidacies.values())
    if asked >= CANDIDACIES_PER_MEMBER_MAX:
        raise InvalidOperation(Refusal.NEWCOMERS_TOO_MANY, f"{asked} wait")
    if not parameters.bond_min <= payload.bond <= BOND_MAX:
        raise InvalidOperation(Refusal.BOND_OUT_OF_BOUNDS, f"{payload.bond}, not {parameters.bond_min} to {BOND_MAX}")
    others = [(entry.name, entry.bls_key) for entry in draft.members if entry.member != card.member]
    others += [(entry.card.name, entry.card.bls_key) for entry in draft.candidacies.values()]
    if card.name in {name for name, _ in others}:
        raise InvalidOperation(Refusal.NAME_TAKEN)
    if card.bls_key in {bls_key for _, bls_key in others}:
        raise InvalidOperation(Refusal.BLS_KEY_TAKEN)
    try:
        check_card_content(card, payload.signature)
    except InvalidMessage as error:
        raise InvalidOperation(Refusal.CARD_DOES_NOT_HOLD, str(error)) from error


def apply_join(draft: LedgerDraft, asking: MemberId, payload: Join) -> None:
    """Note that a newcomer waits for approval, and has its first."""
    draft.candidacies[payload.card.member] = Candidacy(
        card=payload.card, bond=payload.bond, asked_epoch=draft.epoch, approvals=(asking,)
    )


def check_approval(draft: LedgerDraft, approving: MemberId, payload: Approve) -> None:
    """Check that a member may approve of a newcomer (L9).

    Raises:
        InvalidOperation: It is no validator, nobody of that name waits, the bond is another, or it has approved.
    """
    _check_is_validator(draft, approving)
    candidacy = draft.candidacies.get(payload.member)
    if candidacy is None:
        raise InvalidOperation(Refusal.NOBODY_WAITS, payload.member.hex()[:8])
    if payload.bond != candidacy.bond:
        raise InvalidOperation(Refusal.WRONG_BOND, f"{payload.bond}, the request is for {candidacy.bond}")
    if approving in candidacy.approvals:
        raise InvalidOperation(Refusal.APPROVAL_REPEATED, payload.member.hex()[:8])


def apply_approval(draft: LedgerDraft, approving: MemberId, payload: Approve) -> None:
    """Note an approval; it counts when the epoch ends."""
    candidacy = draft.candidacies[payload.member]
    draft.candidacies[payload.member] = replace(candidacy, approvals=(*candidacy.approvals, approving))


def check_leaving(draft: LedgerDraft, member: MemberId) -> None:
    """Check that a member may ask to leave (L9).

    Raises:
        InvalidOperation: It has done so already.
    """
    if draft.get_account(member).is_leaving:
        raise InvalidOperation(Refusal.LEAVING_REPEATED)


def apply_leaving(draft: LedgerDraft, member: MemberId) -> None:
    """Note that a member leaves when the epoch ends."""
    draft.accounts[member] = replace(draft.get_account(member), is_leaving=True)


def compute_release_epoch(parameters: Parameters, epoch: Epoch) -> Epoch:
    """Return when stake that starts to unbond in an epoch is released.

    It is at work until the epoch ends, and evidence about the epoch convicts for ``evidence_window_epochs`` more (L6).
    """
    return Epoch(epoch + parameters.evidence_window_epochs + 1)


def compute_approval_weight(validators: tuple[ValidatorWeight, ...], candidacy: Candidacy) -> Weight:
    """Return the weight of the validators that have approved of a newcomer."""
    return Weight(sum(entry.weight for entry in validators if entry.member in candidacy.approvals))


def apply_epoch_end(draft: LedgerDraft, parameters: Parameters) -> None:
    """After the last block of an epoch, begin the next one; after any other block do nothing (C13)."""
    if not is_last_of_epoch(parameters, draft.height):
        return
    # Whoever leaves has nothing bonded from here on, and so no weight.
    _apply_departures(draft, parameters)
    draft.epoch = Epoch(draft.epoch + 1)
    release_unbonding(draft)
    _apply_admissions(draft)
    forget_old_offences(draft, parameters)
    weights = tuple(
        ValidatorWeight(member=member, weight=Weight(account.bonded))
        for member, account in sorted(draft.accounts.items())
        if is_eligible(parameters, account)
    )
    # With nobody left to choose from the old validators go on: a ledger without any could never be mended.
    draft.validators = weights or draft.validators
    draft.epoch_seed = compute_digest(Domain.EPOCH, draft.chain_id, draft.epoch.to_bytes(8, "big"), draft.mix)


def _check_is_validator(draft: LedgerDraft, member: MemberId) -> None:
    if all(entry.member != member for entry in draft.validators):
        raise InvalidOperation(Refusal.NOT_A_VALIDATOR, member.hex()[:8])


def _apply_departures(draft: LedgerDraft, parameters: Parameters) -> None:
    release_epoch = compute_release_epoch(parameters, draft.epoch)
    for member, account in sorted(draft.accounts.items()):
        if account.is_leaving and account.bonded:
            apply_unbond(draft, member, account.bonded, release_epoch=release_epoch)


def _apply_admissions(draft: LedgerDraft) -> None:
    total = Weight(sum(entry.weight for entry in draft.validators))
    for member, candidacy in sorted(draft.candidacies.items()):
        if compute_approval_weight(draft.validators, candidacy) >= compute_quorum_weight(total):
            _admit(draft, candidacy)
            del draft.candidacies[member]
        elif draft.epoch - candidacy.asked_epoch >= CANDIDACY_EPOCHS:
            del draft.candidacies[member]


def _admit(draft: LedgerDraft, candidacy: Candidacy) -> None:
    card = candidacy.card
    known = draft.accounts.get(card.member)
    account = Account(
        member=card.member,
        bonded=Stake(0),
        unbonding=(),
        free=Stake(0) if known is None else known.free,
        next_sequence=Sequence(0) if known is None else known.next_sequence,
        is_jailed=False,
        is_evicted=False,
        is_leaving=False,
    )
    draft.accounts[card.member] = account
    draft.accounts = dict(sorted(draft.accounts.items()))
    apply_mint(draft, card.member, candidacy.bond)
    entry = MemberEntry(member=card.member, name=card.name, bls_key=card.bls_key, addresses=card.addresses)
    others = [known_entry for known_entry in draft.members if known_entry.member != card.member]
    draft.members = tuple(sorted((*others, entry), key=lambda one: one.member))
