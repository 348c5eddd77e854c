"""The verdict of a round from its revealed ballots: pure counting (F9, F10).

Ballots fall into classes: those that accept one candidate digest are a class, all that reject are one class. More
than half of the revealed ballots in one class make a majority; there may be none, when accepting voters computed
different candidates.
"""

from collections import Counter
from dataclasses import dataclass

from protocol.operations import Ballot
from protocol.outcomes import Verdict
from protocol.parameters import Preset
from protocol.units import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the revealed ballots say together."""

    verdict: Verdict
    candidate_digest: Digest | None
    """What the majority accepted, or else what most ballots named (the lowest of several); None without ballots."""
    accept_count: int
    reject_count: int
    condemned: tuple[bool, ...]
    """One per update, in canonical order (F10); all False if there is no verdict."""
    is_base_condemned: bool


def get_ballot_class(ballot: Ballot) -> Digest | None:
    """Return which class a ballot is in: the candidate that it accepts, or None if it rejects."""
    return ballot.candidate_digest if ballot.is_accept else None


def is_majority(count: int, total: int) -> bool:
    """Return whether ``count`` is more than half of ``total``."""
    return count * 2 > total


def compute_judgement(
    preset: Preset, ballots: tuple[Ballot, ...], *, drawn_voter_count: int, update_count: int
) -> Judgement:
    """Return the verdict of a round.

    ACCEPT iff more than half of the revealed ballots accept the same candidate; VOID if fewer than half of the drawn
    voters revealed; otherwise, ties included, REJECT.

    Args:
        preset: In ``PAPER`` the base is never condemned.
        ballots: The revealed ones, each with ``update_count`` flags.
        drawn_voter_count: How many voters the round drew, at least 1.
        update_count: How many updates the round has.
    """
    total = len(ballots)
    accept_count = sum(ballot.is_accept for ballot in ballots)
    if total * 2 < drawn_voter_count:
        return Judgement(
            verdict=Verdict.VOID,
            candidate_digest=_get_most_named([ballot.candidate_digest for ballot in ballots]),
            accept_count=accept_count,
            reject_count=total - accept_count,
            condemned=(False,) * update_count,
            is_base_condemned=False,
        )
    accepted = _get_most_named([ballot.candidate_digest for ballot in ballots if ballot.is_accept])
    has_accepted = accepted is not None and is_majority(_count_accepts(ballots, accepted), total)
    return Judgement(
        verdict=Verdict.ACCEPT if has_accepted else Verdict.REJECT,
        candidate_digest=accepted if has_accepted else _get_most_named([ballot.candidate_digest for ballot in ballots]),
        accept_count=accept_count,
        reject_count=total - accept_count,
        condemned=tuple(
            is_majority(sum(ballot.update_flags[index] for ballot in ballots), total) for index in range(update_count)
        ),
        is_base_condemned=preset is not Preset.PAPER
        and is_majority(sum(ballot.is_base_flagged for ballot in ballots), total),
    )


def compute_majority(ballots: tuple[Ballot, ...]) -> tuple[bool, ...] | None:
    """Return for each ballot whether it is in the majority, or None if no class has more than half of the ballots."""
    classes = [get_ballot_class(ballot) for ballot in ballots]
    for kind, count in Counter(classes).items():
        if is_majority(count, len(classes)):
            return tuple(other == kind for other in classes)
    return None


def compute_agreement(ballots: tuple[Ballot, ...], judgement: Judgement) -> tuple[bool, ...]:
    """Return for each ballot whether it agrees with the verdict, which is what counts in preset ``paper`` (F14)."""
    winning = judgement.candidate_digest if judgement.verdict is Verdict.ACCEPT else None
    return tuple(get_ballot_class(ballot) == winning for ballot in ballots)


def _count_accepts(ballots: tuple[Ballot, ...], candidate_digest: Digest) -> int:
    return sum(get_ballot_class(ballot) == candidate_digest for ballot in ballots)


def _get_most_named(digests: list[Digest]) -> Digest | None:
    counts = Counter(digests)
    return min(counts, key=lambda digest: (-counts[digest], digest), default=None)
