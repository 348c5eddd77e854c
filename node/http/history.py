"""Stake over time: what every member held when each of the last rounds had settled.

The ledger keeps the present and what moved. The past is the present with the movements taken back, block by block, so
a page that was never open before shows as much of it as one that always was.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from node.json_values import JsonObject, JsonValue
from node.members import get_name
from protocol.ledger.state import LedgerState, compute_unbonding_total
from protocol.outcomes import BlockOutcome, StakeMove, StakeReason
from protocol.units import Height, MemberId, Millis, Round, Stake

POINTS_MAX: Final = 300
"""Rounds that are remembered."""

_GAINS: Final = frozenset(
    {StakeReason.REWARD_VOTE, StakeReason.REWARD_UPDATE, StakeReason.SHARE_OF_MINORITY, StakeReason.MINT}
)
_LOSSES: Final = frozenset(
    {
        StakeReason.SLASH_UPDATE,
        StakeReason.SLASH_VOTE,
        StakeReason.SLASH_ABSENT,
        StakeReason.SLASH_EQUIVOCATION,
        StakeReason.SLASH_CEREMONY,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StakePoint:
    """What everybody held after one round."""

    round: Round
    height: Height
    time_ms: Millis
    totals: Mapping[MemberId, Stake]
    """Bonded, unbonding and free together, in micro-tokens."""


def compute_totals(state: LedgerState) -> dict[MemberId, Stake]:
    """Return everything that each member holds, bonded, unbonding and free."""
    return {
        account.member: Stake(account.bonded + compute_unbonding_total(account) + account.free)
        for account in state.accounts
    }


def compute_change(move: StakeMove) -> int:
    """Return by how much a movement changes what its member holds; bonding and unbonding change nothing."""
    if move.reason in _GAINS:
        return move.amount
    return -move.amount if move.reason in _LOSSES else 0


def compute_past(
    totals: Mapping[MemberId, Stake], newest_first: Iterable[tuple[Height, BlockOutcome]]
) -> list[StakePoint]:
    """Return the points of settled rounds, oldest first, by taking movements back from the present.

    Args:
        totals: What everybody holds after the newest of the blocks.
        newest_first: What the blocks did, without a gap.
    """
    held = dict(totals)
    points: list[StakePoint] = []
    for height, outcome in newest_first:
        if outcome.settled is not None:
            points.append(_make_point(height, outcome, held))
        for move in _get_moves(outcome):
            held[move.member] = Stake(held.get(move.member, 0) - compute_change(move))
            if move.reason is StakeReason.MINT:
                # Before its bond was made the newcomer had no account, unless it came back with what it had left.
                held = {member: stake for member, stake in held.items() if member != move.member or stake}
    return points[::-1]


class StakeHistory:
    """The points so far, and what everybody holds now."""

    def __init__(self) -> None:
        """Start knowing nothing; see :meth:`restart`."""
        self.points: deque[StakePoint] = deque(maxlen=POINTS_MAX)
        self._height = Height(0)
        self._held: dict[MemberId, Stake] = {}

    def restart(self, height: Height, totals: Mapping[MemberId, Stake]) -> None:
        """Begin anew from what everybody holds at a height, without points."""
        self._height = height
        self._held = dict(totals)
        self.points.clear()

    def prepend(self, past: Iterable[StakePoint]) -> None:
        """Put points before all others, oldest first."""
        points = [*past, *self.points]
        self.points.clear()
        self.points.extend(points)

    def note_block(self, height: Height, outcome: BlockOutcome) -> None:
        """Take in the next block; one that is known already changes nothing."""
        if height <= self._height:
            return
        self._height = height
        for move in _get_moves(outcome):
            self._held[move.member] = Stake(self._held.get(move.member, 0) + compute_change(move))
        if outcome.settled is not None:
            self.points.append(_make_point(height, outcome, self._held))

    def describe(self, names: dict[MemberId, str]) -> JsonObject:
        """Return the points as JSON, oldest first; stakes stand in the order of the members, null where one had none.

        Args:
            names: What members are called, for people.
        """
        members = sorted({member for point in self.points for member in point.totals})
        points: list[JsonValue] = [
            {
                "round": point.round,
                "height": point.height,
                "time_ms": point.time_ms,
                "stakes": [point.totals.get(member) for member in members],
            }
            for point in self.points
        ]
        named: list[JsonValue] = [{"name": get_name(names, member), "member": member.hex()} for member in members]
        return {"members": named, "points": points}


def _get_moves(outcome: BlockOutcome) -> tuple[StakeMove, ...]:
    return outcome.moves if outcome.settled is None else (*outcome.moves, *outcome.settled.moves)


def _make_point(height: Height, outcome: BlockOutcome, held: Mapping[MemberId, Stake]) -> StakePoint:
    assert outcome.settled is not None
    return StakePoint(
        round=outcome.settled.round, height=height, time_ms=outcome.settled.settled_ms, totals=dict(held)
    )
