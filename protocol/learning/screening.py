"""What a voter holds against an update: what it does to the voter's score, and what its proposer's updates have done.

A little harm may be chance once; it is none when it comes every time. The memory is the voter's own business: it is in
no operation, and who has none, after a start, judges each member's next update by itself (F8, decision 0029).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protocol.errors import InvariantViolation
from protocol.units import BPS_WHOLE, SCORE_WHOLE, Bps, MemberId, Ppm, Round

_UPDATES_REMEMBERED: Final = 10
"""From this many updates on, each new one changes the mean by the same share."""

_LOSS_FACTOR: Final = 5
_LOSS_COUNTED_MIN_PPM: Final = 10_000
"""A loss counts up to five times the limit, and up to 1 % at least: one accident must not outweigh a member's past."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a member's updates have done to one voter's score, on average."""

    mean_ppm: int
    """By how much of the base's score an eighth of them moved it, parts per million; negative is harm."""
    update_count: int
    round: Round
    """Of the latest of them."""


class Screening:
    """One voter's judgement of single updates, and its memory of the members."""

    def __init__(self, limit_bps: Bps) -> None:
        """Start without memory.

        Args:
            limit_bps: By how much of the base's score an eighth of a member's updates may lower it on average.
        """
        self._limit_ppm = limit_bps * SCORE_WHOLE // BPS_WHOLE
        self._evidence: dict[MemberId, Evidence] = {}

    def judge(self, round_number: Round, base: Ppm, moved: Sequence[tuple[MemberId, Ppm | None]]) -> tuple[bool, ...]:
        """Return which updates to flag (F8). A round that is judged twice is remembered once.

        Args:
            round_number: The round of all of the updates.
            base: The voter's score of the base.
            moved: For each update its proposer, and the voter's score of the base moved by an eighth of the update, or
                None if it could not be scored here, which is neither remembered nor held against the member.
        """
        effects = [(member, None if score is None else compute_effect(score, base)) for member, score in moved]
        for member, effect in effects:
            if effect is not None:
                self._remember(round_number, member, effect)
        return tuple(
            effect is not None and effect < 0 and self._evidence[member].mean_ppm < -self._limit_ppm
            for member, effect in effects
        )

    def _remember(self, round_number: Round, member: MemberId, effect: int) -> None:
        known = self._evidence.get(member, Evidence(mean_ppm=0, update_count=0, round=Round(0)))
        if known.round == round_number:
            return
        loss_max = max(_LOSS_FACTOR * self._limit_ppm, _LOSS_COUNTED_MIN_PPM)
        counted = max(-loss_max, min(self._limit_ppm, effect))
        count = known.update_count + 1
        mean = known.mean_ppm + (counted - known.mean_ppm) // min(count, _UPDATES_REMEMBERED)
        self._evidence[member] = Evidence(mean_ppm=mean, update_count=count, round=round_number)


def compute_effect(moved: Ppm, base: Ppm) -> int:
    """Return by how much of the base's score a step moves it, in parts per million rounded down.

    Raises:
        InvariantViolation: A score is out of range.
    """
    for score in (moved, base):
        if not 0 <= score <= SCORE_WHOLE:
            raise InvariantViolation(f"a score of {score} ppm")
    return (moved - base) * SCORE_WHOLE // base if base else 0
