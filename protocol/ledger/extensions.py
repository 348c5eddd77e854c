"""What keeps a round from ending with its phase: standbys for those who were silent (F13), and the retrial (F11).

Each happens once: standbys are called once for the proposers and once for the voters of a round, and a round is judged
at most twice. So no round takes more than one deadline of TRAIN and one of REVEAL more, and two of SEAL.
"""

from dataclasses import replace

from protocol.learning.phases import PhaseEvent
from protocol.ledger.attempts import get_rest, judge_attempts
from protocol.ledger.round_entries import FirstAttempt
from protocol.ledger.state import RoundState
from protocol.outcomes import Phase, Replacement, Verdict
from protocol.parameters import Parameters, Preset
from protocol.units import MemberId


def extend_round(parameters: Parameters, round_state: RoundState, event: PhaseEvent) -> tuple[RoundState, PhaseEvent]:
    """Return a round at the end of a phase, changed if it gets another chance, and what then ends the phase.

    Args:
        parameters: The network's.
        round_state: The round in the phase that ends.
        event: What would end the phase.
    """
    extended = None
    if event is PhaseEvent.DEADLINE_WITH_TOO_FEW:
        extended = call_standbys(parameters, round_state)
        event = event if extended is None else PhaseEvent.STANDBYS_CALLED
    elif round_state.phase is Phase.REVEAL:
        extended = begin_retrial(parameters, round_state)
        event = event if extended is None else PhaseEvent.RETRIAL_DUE
    return (round_state if extended is None else extended), event


def call_standbys(parameters: Parameters, round_state: RoundState) -> RoundState | None:
    """Return the round with standbys in the places of those that were silent, or None if none may be called (F13).

    They take the places in the order of the draw, as far as they go; who is not replaced may still answer. The voters
    of a retrial are those of the first attempt.
    """
    phase, standbys = round_state.phase, list_standbys(parameters, round_state)
    has_called = any(entry.phase is phase for entry in round_state.replacements)
    if not standbys or has_called or round_state.attempt > 0:
        return None
    drawn, answered = _get_drawn_and_answered(round_state)
    silent = [member for member in drawn if member not in answered]
    called = dict(zip(silent, standbys, strict=False))
    places = tuple(called.get(member, member) for member in drawn)
    entries = (Replacement(phase=phase, silent=member, standby=standby) for member, standby in called.items())
    return replace(
        round_state,
        proposers=places if phase is Phase.TRAIN else round_state.proposers,
        voters=places if phase is Phase.SEAL else round_state.voters,
        standbys=tuple(member for member in round_state.standbys if member not in called.values()),
        replacements=(*round_state.replacements, *entries),
    )


def list_standbys(parameters: Parameters, round_state: RoundState) -> tuple[MemberId, ...]:
    """Return who may take places in the phase of a round: the standbys, then those with the other role alone (F13).

    In preset ``paper`` nobody has two roles.
    """
    if parameters.preset is Preset.PAPER:
        return round_state.standbys
    own, other = round_state.proposers, round_state.voters
    if round_state.phase is not Phase.TRAIN:
        own, other = other, own
    return (*round_state.standbys, *[member for member in other if member not in own])


def begin_retrial(parameters: Parameters, round_state: RoundState) -> RoundState | None:
    """Return the round with the updates that were left, to be judged once more, or None if no retrial is due (F11).

    None is where nothing was condemned, or so much that fewer than ``updates_min`` updates are left.
    """
    if parameters.preset is Preset.PAPER or round_state.attempt > 0:
        return None
    (attempt,) = judge_attempts(parameters, round_state)
    rest = get_rest(attempt)
    is_due = attempt.judgement.verdict is Verdict.REJECT and len(rest) < len(attempt.updates)
    if not is_due or len(rest) < parameters.updates_min:
        return None
    return replace(
        round_state,
        updates=rest,
        seals=(),
        reveals=(),
        attempt=1,
        first_attempt=FirstAttempt(updates=attempt.updates, reveals=attempt.reveals),
    )


def _get_drawn_and_answered(round_state: RoundState) -> tuple[tuple[MemberId, ...], set[MemberId]]:
    if round_state.phase is Phase.TRAIN:
        return round_state.proposers, {entry.member for entry in round_state.updates}
    return round_state.voters, {entry.member for entry in round_state.seals}
