"""Where a round goes next (F15, section 2)."""

import pytest

from protocol.learning.phases import (
    PHASE_TABLE,
    PhaseEvent,
    PhaseProgress,
    compute_half,
    compute_phase_event,
    get_phase_duration_ms,
)
from protocol.outcomes import Phase
from protocol.parameters import Parameters


def make_progress(expected: int, received: int, needed: int, *, is_deadline_over: bool) -> PhaseProgress:
    return PhaseProgress(
        expected_count=expected, received_count=received, needed_count=needed, is_deadline_over=is_deadline_over
    )


@pytest.mark.parametrize(
    ("progress", "event"),
    [
        (make_progress(3, 2, 1, is_deadline_over=False), None),
        (make_progress(3, 3, 1, is_deadline_over=False), PhaseEvent.ALL_RECEIVED),
        (make_progress(3, 3, 1, is_deadline_over=True), PhaseEvent.ALL_RECEIVED),
        (make_progress(3, 1, 1, is_deadline_over=True), PhaseEvent.DEADLINE_WITH_ENOUGH),
        (make_progress(3, 0, 1, is_deadline_over=True), PhaseEvent.DEADLINE_WITH_TOO_FEW),
        (make_progress(1, 1, 2, is_deadline_over=False), PhaseEvent.ALL_RECEIVED),
    ],
)
def test_answers_and_the_deadline_end_a_phase(progress: PhaseProgress, event: PhaseEvent | None) -> None:
    assert compute_phase_event(progress) is event


def test_a_good_round_passes_every_phase_once() -> None:
    phase: Phase | None = PHASE_TABLE[Phase.DRAW, PhaseEvent.OUTPUT_KNOWN]
    passed = []
    while phase is not None:
        passed.append(phase)
        phase = PHASE_TABLE[phase, PhaseEvent.ALL_RECEIVED]
    assert passed == [Phase.TRAIN, Phase.SEAL, Phase.REVEAL]


@pytest.mark.parametrize("phase", [Phase.TRAIN, Phase.SEAL, Phase.REVEAL])
def test_too_few_answers_settle_the_round(phase: Phase) -> None:
    assert PHASE_TABLE[phase, PhaseEvent.DEADLINE_WITH_TOO_FEW] is None


def test_only_the_beacon_ends_draw() -> None:
    assert [event for phase, event in PHASE_TABLE if phase is Phase.DRAW] == [PhaseEvent.OUTPUT_KNOWN]


def test_every_phase_has_the_deadline_of_its_parameter() -> None:
    parameters = Parameters()
    assert [get_phase_duration_ms(parameters, phase) for phase in Phase] == [
        0,
        parameters.train_deadline_ms,
        parameters.seal_deadline_ms,
        parameters.reveal_deadline_ms,
    ]


@pytest.mark.parametrize(("count", "half"), [(1, 1), (2, 1), (3, 2), (5, 3), (21, 11)])
def test_half_of_the_voters_is_rounded_up(count: int, half: int) -> None:
    assert compute_half(count) == half
