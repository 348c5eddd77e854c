"""The life of a round on the ledger: draw, advance by the phase table, settle, and open the next (F1, F2, F15)."""

from dataclasses import replace

from protocol.beacon.schedule import choose_output
from protocol.beacon.sortition import compute_roles_seed, draw_roles
from protocol.blocks import BeaconProof
from protocol.learning.phases import (
    PHASE_TABLE,
    PhaseEvent,
    PhaseProgress,
    compute_half,
    compute_phase_event,
    get_phase_duration_ms,
)
from protocol.ledger.draft import LedgerDraft
from protocol.ledger.extensions import extend_round
from protocol.ledger.settlement import settle_round
from protocol.ledger.state import RoundState, build_round, get_waiting
from protocol.outcomes import Phase, RoundRecord
from protocol.parameters import Parameters
from protocol.units import Millis, Round


def apply_draw(draft: LedgerDraft, parameters: Parameters, proof: BeaconProof | None) -> None:
    """Draw the roles of a round that an earlier block opened, from its output or the mix (F2, B2, B5).

    Args:
        draft: After the block's header.
        parameters: The network's.
        proof: The output that the header carries.
    """
    round_state = draft.round
    if round_state is None or round_state.phase is not Phase.DRAW:
        return
    beacon = choose_output(
        parameters,
        get_waiting(round_state),
        proof=proof,
        mix=draft.mix,
        height=draft.height,
        time_ms=draft.time_ms,
    )
    if beacon is None:
        return
    seed = compute_roles_seed(draft.chain_id, round_state.round, beacon.output)
    roles = draw_roles(parameters, seed, tuple((entry.member, entry.stake) for entry in round_state.eligible))
    drawn = replace(
        round_state,
        beacon_output=beacon.output,
        beacon=beacon.proof,
        is_degraded=beacon.is_degraded,
        proposers=roles.proposers,
        voters=roles.voters,
        standbys=roles.standbys,
    )
    draft.round = _move_on(draft, parameters, drawn, PhaseEvent.OUTPUT_KNOWN)


def apply_phase_changes(draft: LedgerDraft, parameters: Parameters) -> RoundRecord | None:
    """Move the round on by the phase table; return its record if that settles it, in which case no round is open."""
    while draft.round is not None and draft.round.phase is not Phase.DRAW:
        round_state = draft.round
        event = compute_phase_event(_get_progress(draft, parameters, round_state))
        if event is None:
            return None
        round_state, event = extend_round(parameters, round_state, event)
        draft.round = _move_on(draft, parameters, round_state, event)
        if draft.round is None:
            return settle_round(draft, parameters, round_state)
    return None


def apply_opening(draft: LedgerDraft, parameters: Parameters) -> None:
    """Open the next round if none is open and enough members are eligible; a later block draws it (F1)."""
    if draft.round is not None:
        return
    accounts = tuple(account for _, account in sorted(draft.accounts.items()))
    draft.round = build_round(
        parameters,
        accounts,
        round_number=draft.next_round,
        height=draft.height,
        time_ms=draft.time_ms,
        base_digest=draft.model_digest,
        key_epoch=draft.beacon_keys[-1].epoch if draft.beacon_keys else None,
    )
    if draft.round is not None:
        draft.next_round = Round(draft.next_round + 1)


def _move_on(
    draft: LedgerDraft, parameters: Parameters, round_state: RoundState, event: PhaseEvent
) -> RoundState | None:
    """Return the round in its next phase, with that phase's deadline, or None if it is to settle."""
    next_phase = PHASE_TABLE[round_state.phase, event]
    if next_phase is None:
        return None
    deadline_ms = Millis(draft.time_ms + get_phase_duration_ms(parameters, next_phase))
    return replace(round_state, phase=next_phase, deadline_ms=deadline_ms)


def _get_progress(draft: LedgerDraft, parameters: Parameters, round_state: RoundState) -> PhaseProgress:
    counts = {
        Phase.DRAW: (0, 0, 0),
        Phase.TRAIN: (len(round_state.proposers), len(round_state.updates), parameters.updates_min),
        Phase.SEAL: (len(round_state.voters), len(round_state.seals), compute_half(len(round_state.voters))),
        Phase.REVEAL: (len(round_state.seals), len(round_state.reveals), 0),
    }
    expected_count, received_count, needed_count = counts[round_state.phase]
    return PhaseProgress(
        expected_count=expected_count,
        received_count=received_count,
        needed_count=needed_count,
        is_deadline_over=draft.time_ms >= round_state.deadline_ms,
    )
