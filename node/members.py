"""Who the members are, for people: names, standing, and who waits to become one (L9). Read from the ledger alone."""

from node.json_values import JsonObject, JsonValue
from protocol.epochs import compute_last_height
from protocol.ledger.member_entries import Candidacy
from protocol.ledger.membership import CANDIDACY_EPOCHS, compute_approval_weight, compute_release_epoch
from protocol.ledger.state import Account, LedgerState, has_left
from protocol.parameters import Parameters
from protocol.units import Epoch, MemberId, Weight
from protocol.validators import compute_quorum_weight

WAITS = "waits to be admitted"
"""What a node says of itself as long as its ledger has no account for it."""


def build_names(state: LedgerState) -> dict[MemberId, str]:
    """Return the names of all members, and of those who wait to be admitted."""
    names = {candidacy.card.member: candidacy.card.name for candidacy in state.candidacies}
    return names | {entry.member: entry.name for entry in state.members}


def get_name(names: dict[MemberId, str], member: MemberId) -> str:
    """Return a member's name, or the beginning of its key if the ledger tells none."""
    return names.get(member, member.hex()[:8])


def find_account(state: LedgerState, member: MemberId) -> Account | None:
    """Return somebody's account, if there is one."""
    return next((account for account in state.accounts if account.member == member), None)


def describe_standing(state: LedgerState, member: MemberId) -> str:
    """Return in one line whether somebody is a member, for people."""
    account = find_account(state, member)
    if account is None:
        return WAITS
    if not account.is_leaving:
        return "member"
    if has_left(account):
        return "has left, and may not connect any more"
    if account.bonded:
        return "leaves when the epoch ends"
    released_in = max(entry.release_epoch for entry in account.unbonding)
    return f"has left; its stake is released when epoch {released_in} begins"


def describe_newcomers(state: LedgerState, parameters: Parameters) -> JsonObject:
    """Return who waits to be admitted, and what that takes."""
    total = Weight(sum(entry.weight for entry in state.validators))
    return {
        "height": state.height,
        "epoch": state.epoch,
        "epoch_ends_at_height": compute_last_height(parameters, state.epoch),
        "weight_needed": compute_quorum_weight(total),
        "weight_total": total,
        "newcomers": [_describe_candidacy(state, candidacy) for candidacy in state.candidacies],
    }


def describe_newcomer(state: LedgerState, parameters: Parameters, member: MemberId) -> JsonObject:
    """Return what has become of a request to admit somebody, and what its admission takes."""
    described = describe_newcomers(state, parameters)
    described["newcomers"] = [
        _describe_candidacy(state, candidacy) for candidacy in state.candidacies if candidacy.card.member == member
    ]
    account = find_account(state, member)
    return {**described, "is_member": account is not None and not has_left(account)}


def describe_departure(state: LedgerState, parameters: Parameters, member: MemberId) -> JsonObject:
    """Return when a member that has asked to leave is free, if it has."""
    account = find_account(state, member)
    if account is None or not account.is_leaving:
        return {"is_leaving": False, "released_in_epoch": None, "released_at_height": None}
    upcoming = [compute_release_epoch(parameters, state.epoch)] if account.bonded else []
    released_in = max([*(entry.release_epoch for entry in account.unbonding), *upcoming], default=state.epoch)
    return {
        "is_leaving": True,
        "released_in_epoch": released_in,
        "released_at_height": compute_last_height(parameters, Epoch(released_in - 1)),
    }


def _describe_candidacy(state: LedgerState, candidacy: Candidacy) -> JsonObject:
    names = build_names(state)
    total = Weight(sum(entry.weight for entry in state.validators))
    weight = compute_approval_weight(state.validators, candidacy)
    return {
        "name": candidacy.card.name,
        "member": candidacy.card.member.hex(),
        "bond": candidacy.bond,
        "approvals": list[JsonValue]([get_name(names, member) for member in candidacy.approvals]),
        "weight": weight,
        "is_approved": weight >= compute_quorum_weight(total),
        "lapses_in_epoch": candidacy.asked_epoch + CANDIDACY_EPOCHS,
    }
