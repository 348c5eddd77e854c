"""The key generation on the ledger: who may deal and complain when, who pays, and when the key comes into use (B4).

The validators of an epoch hold a ceremony in it. In the first half of the epoch's blocks they post deals; until its
last block they complain of wrong shares. A complaint proves itself: either the dealer is out and pays, or the
complainer pays; there is nothing to justify afterwards, so no honest share is ever revealed. With the epoch's end the
qualified deals, if they are enough, become the group key of the next one. If not, the old key stays, and the next epoch
holds a ceremony as well.
"""

from dataclasses import replace
from typing import Final

from protocol.beacon.dealing import Ceremony, build_group_key, check_deal, is_complaint_right
from protocol.epochs import is_last_of_epoch
from protocol.errors import InvalidMessage, InvalidOperation
from protocol.ledger.draft import LedgerDraft
from protocol.ledger.stake import apply_slash
from protocol.ledger.state import DealEntry, build_ceremony
from protocol.operations import Complain, PostDeal
from protocol.outcomes import StakeMove, StakeReason
from protocol.parameters import Parameters
from protocol.refusals import Refusal
from protocol.units import Height, MemberId

KEYS_KEPT: Final = 2
"""The key in use and the one before: a round that opened under that one may still wait for its output."""


def is_dealing_open(parameters: Parameters, height: Height) -> bool:
    """Return whether a deal in the block of this height is in time: the first half of an epoch's blocks."""
    return (height - 1) % parameters.epoch_blocks < parameters.epoch_blocks // 2


def check_dealing(draft: LedgerDraft, parameters: Parameters, member: MemberId, payload: PostDeal) -> None:
    """Check that a member may post this deal now.

    Raises:
        InvalidOperation: It may not, or the deal does not hold.
    """
    ceremony = _check_taking_part(draft, member, payload)
    if not is_dealing_open(parameters, draft.height):
        raise InvalidOperation(Refusal.DEALING_IS_OVER, f"height {draft.height}")
    if any(entry.dealer == member for entry in draft.deals):
        raise InvalidOperation(Refusal.DEAL_REPEATED)
    try:
        check_deal(ceremony, member, payload)
    except InvalidMessage as error:
        raise InvalidOperation(Refusal.DEAL_DOES_NOT_HOLD, str(error)) from error


def apply_dealing(draft: LedgerDraft, member: MemberId, payload: PostDeal) -> None:
    """Take a deal."""
    entries = (*draft.deals, DealEntry(dealer=member, deal=payload, is_disqualified=False, complainers=()))
    draft.deals = tuple(sorted(entries, key=lambda entry: entry.dealer))


def check_complaining(draft: LedgerDraft, member: MemberId, payload: Complain) -> DealEntry:
    """Return the deal that a member complains of, if it may do so now; whether it is right to is not asked here.

    Raises:
        InvalidOperation: It may not.
    """
    _check_taking_part(draft, member, payload)
    entry = next((one for one in draft.deals if one.dealer == payload.dealer), None)
    if entry is None:
        raise InvalidOperation(Refusal.NOTHING_DEALT, payload.dealer.hex()[:8])
    if entry.is_disqualified:
        raise InvalidOperation(Refusal.DEALER_DISQUALIFIED, payload.dealer.hex()[:8])
    if member in entry.complainers:
        raise InvalidOperation(Refusal.COMPLAINT_REPEATED, payload.dealer.hex()[:8])
    return entry


def apply_complaint(
    draft: LedgerDraft, parameters: Parameters, member: MemberId, entry: DealEntry, payload: Complain
) -> None:
    """Judge a complaint: a dealer of a wrong share is out and pays; whoever complains of a right one pays."""
    ceremony = _get_ceremony(draft)
    is_right = is_complaint_right(ceremony, member, entry.dealer, entry.deal, payload)
    judged = replace(entry, is_disqualified=is_right, complainers=tuple(sorted((*entry.complainers, member))))
    draft.deals = tuple(judged if one.dealer == entry.dealer else one for one in draft.deals)
    guilty = entry.dealer if is_right else member
    taken = apply_slash(draft, guilty, parameters.slash_ceremony)
    if taken:
        draft.moves.append(StakeMove(member=guilty, reason=StakeReason.SLASH_CEREMONY, amount=taken))


def apply_ceremony_end(draft: LedgerDraft, parameters: Parameters) -> None:
    """After the last block of an epoch, put its key into use if there is one; to be called before members change."""
    if not is_last_of_epoch(parameters, draft.height):
        return
    qualified = [(entry.dealer, entry.deal) for entry in draft.deals if not entry.is_disqualified]
    key = build_group_key(_get_ceremony(draft), qualified)
    draft.deals = ()
    if key is None:
        return
    draft.beacon_keys = (*draft.beacon_keys, key)[-KEYS_KEPT:]
    waiting = draft.round
    if waiting is not None and waiting.key_epoch not in {None, *(one.epoch for one in draft.beacon_keys)}:
        # It has waited for two epochs: the mix is all that is left.
        draft.round = replace(waiting, key_epoch=None)


def _check_taking_part(draft: LedgerDraft, member: MemberId, payload: PostDeal | Complain) -> Ceremony:
    if payload.epoch != draft.epoch:
        raise InvalidOperation(Refusal.WRONG_CEREMONY, f"epoch {payload.epoch}, the ledger is in epoch {draft.epoch}")
    ceremony = _get_ceremony(draft)
    if member not in ceremony.dealers:
        raise InvalidOperation(Refusal.NOT_A_VALIDATOR, member.hex()[:8])
    return ceremony


def _get_ceremony(draft: LedgerDraft) -> Ceremony:
    return build_ceremony(draft.chain_id, draft.epoch, draft.validators, draft.members)
