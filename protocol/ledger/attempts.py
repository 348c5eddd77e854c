"""The judgements of a round, one for each attempt: what was judged, by which ballots, and what came of it (F9 to F11).

Nothing is settled between two attempts: a round's verdict, money and model follow from all of them at its end. The
last one that came to a verdict decides. Updates that any of them condemned stay condemned.
"""

from dataclasses import dataclass

from protocol.learning.verdict import Judgement, compute_judgement
from protocol.ledger.round_entries import RevealEntry, UpdateEntry
from protocol.ledger.state import RoundState
from protocol.outcomes import AttemptRecord, RevealedBallot, find_deciding
from protocol.parameters import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One judgement."""

    updates: tuple[UpdateEntry, ...]
    """What the candidate was made of, in canonical order."""
    reveals: tuple[RevealEntry, ...]
    """Sorted by member."""
    judgement: Judgement


def judge_attempts(parameters: Parameters, round_state: RoundState) -> tuple[Attempt, ...]:
    """Return the judgements of a round as far as it has come, the current one last."""
    first = round_state.first_attempt
    earlier = () if first is None else (_judge(parameters, round_state, first.updates, first.reveals),)
    return (*earlier, _judge(parameters, round_state, round_state.updates, round_state.reveals))


def get_deciding(attempts: tuple[Attempt, ...]) -> Attempt:
    """Return the judgement that a round ends with."""
    return attempts[find_deciding(tuple(attempt.judgement.verdict for attempt in attempts))]


def get_condemned(attempts: tuple[Attempt, ...]) -> tuple[tuple[UpdateEntry, int, int], ...]:
    """Return the updates that any judgement condemned (F10), each with how many flagged it, of how many ballots.

    They are in canonical order. The retrial judges none that the first attempt condemned, so each is there once.
    """
    condemned = [
        (entry, sum(reveal.ballot.update_flags[index] for reveal in attempt.reveals), len(attempt.reveals))
        for attempt in attempts
        for index, entry in enumerate(attempt.updates)
        if attempt.judgement.condemned[index]
    ]
    return tuple(sorted(condemned, key=lambda found: attempts[0].updates.index(found[0])))


def get_rest(attempt: Attempt) -> tuple[UpdateEntry, ...]:
    """Return the updates that a judgement did not condemn, in canonical order."""
    condemned = _get_flagged(attempt)
    return tuple(entry for entry in attempt.updates if entry not in condemned)


def build_attempt_record(attempt: Attempt) -> AttemptRecord:
    """Return a judgement as the ledger records it."""
    judgement = attempt.judgement
    return AttemptRecord(
        verdict=judgement.verdict,
        condemned=judgement.condemned,
        is_base_condemned=judgement.is_base_condemned,
        candidate_digest=judgement.candidate_digest,
        accept_count=judgement.accept_count,
        reject_count=judgement.reject_count,
        ballots=tuple(RevealedBallot(voter=entry.member, ballot=entry.ballot) for entry in attempt.reveals),
    )


def _get_flagged(attempt: Attempt) -> tuple[UpdateEntry, ...]:
    pairs = zip(attempt.updates, attempt.judgement.condemned, strict=True)
    return tuple(entry for entry, is_condemned in pairs if is_condemned)


def _judge(
    parameters: Parameters, round_state: RoundState, updates: tuple[UpdateEntry, ...], reveals: tuple[RevealEntry, ...]
) -> Attempt:
    judgement = compute_judgement(
        parameters.preset,
        tuple(entry.ballot for entry in reveals),
        drawn_voter_count=len(round_state.voters),
        update_count=len(updates),
    )
    return Attempt(updates=updates, reveals=reveals, judgement=judgement)
