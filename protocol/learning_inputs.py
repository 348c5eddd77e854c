"""What comes from the worker and from other members' artifacts: who has to know of it."""

from typing import assert_never

from protocol.duties import Duties
from protocol.holdings import Holdings
from protocol.interface import (
    ArtifactStored,
    CandidateComputed,
    Effect,
    LearningInput,
    ModelEvaluated,
    ScreeningFailed,
    UpdateScreened,
    UpdateTrained,
    WorkFailed,
)
from protocol.ledger.state import LedgerState


def take_learning_input(event: LearningInput, duties: Duties, holdings: Holdings, state: LedgerState) -> list[Effect]:
    """Tell duties and holdings of a fact, and return what follows at once."""
    match event:
        case ArtifactStored():
            holdings.digests.add(event.digest)
        case UpdateTrained():
            holdings.digests.add(event.artifact_digest)
            duties.on_trained(event)
        case CandidateComputed():
            holdings.digests.add(event.candidate_digest)
            return duties.on_candidate(event, state)
        case ModelEvaluated():
            return duties.on_score(event)
        case UpdateScreened() | ScreeningFailed():
            return duties.on_screened(event)
        case WorkFailed():
            return duties.on_failed(event)
        case _:
            assert_never(event)
    return []
