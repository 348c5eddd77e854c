"""What a proven offence costs, and how long it is remembered (L5, L7)."""

from dataclasses import replace
from typing import Final

from protocol.errors import InvalidOperation, InvariantViolation
from protocol.evidence import Offence
from protocol.ledger.draft import LedgerDraft
from protocol.ledger.stake import apply_slash
from protocol.ledger.state import compute_unbonding_total, is_exhausted
from protocol.outcomes import StakeMove, StakeReason
from protocol.parameters import Parameters, Preset
from protocol.refusals import Refusal
from protocol.units import BPS_WHOLE, Bps, Stake

OFFENCES_MAX: Final = 4_096
"""How many convictions are kept at once, which bounds a snapshot; each has cost its member a share of its stake."""


def compute_slash(stake: Stake, slash_bps: Bps) -> Stake:
    """Return the stake that one offence costs.

    Rounds up, so that an offence with the smallest stake still costs one micro-token.

    Args:
        stake: Bonded and unbonding stake of the member, in micro-tokens.
        slash_bps: Share taken, in basis points, 0 to 10_000.

    Returns:
        Stake to take, in micro-tokens; never more than ``stake``.

    Raises:
        InvariantViolation: ``slash_bps`` is outside 0 to 10_000.
    """
    if not 0 <= slash_bps <= BPS_WHOLE:
        raise InvariantViolation(f"a slash of {slash_bps} bps")
    return Stake(-(-stake * slash_bps // BPS_WHOLE))


def check_offence(draft: LedgerDraft, parameters: Parameters, offence: Offence) -> None:
    """Check that a proven offence still convicts (L7).

    Evidence about a view or epoch that the ledger has yet to come to does convict: the leader of an earlier view could
    otherwise make a report void by ordering it early.

    Raises:
        InvalidOperation: Of no member, too old, known already, or nothing is left to take from a member in jail.
    """
    account = draft.accounts.get(offence.member)
    if account is None:
        raise InvalidOperation(Refusal.OFFENDER_NOT_A_MEMBER, offence.member.hex()[:8])
    if draft.epoch - offence.epoch > parameters.evidence_window_epochs:
        raise InvalidOperation(Refusal.OFFENCE_TOO_OLD, f"epoch {offence.epoch}")
    if offence in draft.offences:
        raise InvalidOperation(Refusal.OFFENCE_KNOWN, f"{offence.member.hex()[:8]} in view {offence.view}")
    if account.is_jailed and account.bonded + compute_unbonding_total(account) == 0:
        raise InvalidOperation(Refusal.NOTHING_TO_SLASH, offence.member.hex()[:8])
    if len(draft.offences) >= OFFENCES_MAX:
        raise InvalidOperation(Refusal.OFFENCES_FULL)


def apply_offence(draft: LedgerDraft, parameters: Parameters, offence: Offence) -> None:
    """Slash and jail the member that an offence convicts; the caller has checked it (L7)."""
    account = draft.get_account(offence.member)
    stake = Stake(account.bonded + compute_unbonding_total(account))
    taken = apply_slash(draft, offence.member, compute_slash(stake, parameters.slash_equivocation_bps))
    if taken:
        draft.moves.append(StakeMove(member=offence.member, reason=StakeReason.SLASH_EQUIVOCATION, amount=taken))
    draft.accounts[offence.member] = replace(draft.get_account(offence.member), is_jailed=True)
    draft.offences.add(offence)


def forget_old_offences(draft: LedgerDraft, parameters: Parameters) -> None:
    """Drop convictions whose evidence would be refused as too old anyway; to be called when an epoch begins."""
    oldest_epoch = draft.epoch - parameters.evidence_window_epochs
    draft.offences = {offence for offence in draft.offences if offence.epoch >= oldest_epoch}


def apply_evictions(draft: LedgerDraft, parameters: Parameters) -> None:
    """In preset ``paper``, put every exhausted member out for good (L5)."""
    if parameters.preset is not Preset.PAPER:
        return
    for member, account in sorted(draft.accounts.items()):
        if is_exhausted(parameters, account) and not account.is_evicted:
            draft.accounts[member] = replace(account, is_evicted=True)
