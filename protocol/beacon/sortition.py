"""Who does what in a round: a draw without replacement that anyone can recompute from the ledger (F2).

The seed is SHA-256 over a domain tag, the chain id, the round and the beacon output; no block hash, operations root or
timestamp enters it. A stream of 64-bit words, SHA-256 of seed and counter, is cut down to the range that is needed by
rejection, so that no member is favoured by a remainder.

A member's weight is its stake, capped at ``draw_weight_max_bps`` of all eligible stake, so that no single member
captures the committees. With fewer members than the cap has shares (three members, a cap of a quarter) such a cap
would cut even members of equal stake and flatten every other difference; so the cap is never below the equal share.
Preset ``paper``: every weight is 1.
"""

from dataclasses import dataclass
from typing import Final

from protocol.crypto import Domain, compute_digest
from protocol.errors import InvariantViolation
from protocol.parameters import Parameters, Preset
from protocol.units import BPS_WHOLE, Bps, Digest, MemberId, Round, Stake

_WORD_BYTES: Final = 8
_WORD_SPACE: Final = 1 << 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """The draw of one round: who does what, taken from an order of all eligible members."""

    proposers: tuple[MemberId, ...]
    voters: tuple[MemberId, ...]
    """An odd number; proposers among them only where there are too few others."""
    standbys: tuple[MemberId, ...]


class CounterStream:
    """An endless stream of unbiased integers from a seed."""

    def __init__(self, seed: Digest) -> None:
        """Start the stream of this seed."""
        self._seed = seed
        self._counter = 0
        self._words: list[int] = []

    def draw_below(self, bound: int) -> int:
        """Return the next integer, uniform from 0 to ``bound`` - 1.

        Words of the last, incomplete stretch of ``bound`` values are thrown away: less than half of all words, so that
        the loop ends after two draws on average even in the worst case.

        Raises:
            InvariantViolation: ``bound`` is not from 1 to 2**64.
        """
        if not 1 <= bound <= _WORD_SPACE:
            raise InvariantViolation(f"cannot draw below {bound}")
        limit = _WORD_SPACE - _WORD_SPACE % bound
        word = self._take_word()
        while word >= limit:
            word = self._take_word()
        return word % bound

    def _take_word(self) -> int:
        if not self._words:
            digest = compute_digest(Domain.ROLES, self._seed, self._counter.to_bytes(8, "big"))
            starts = range(len(digest) - _WORD_BYTES, -1, -_WORD_BYTES)
            self._words = [int.from_bytes(digest[start : start + _WORD_BYTES], "big") for start in starts]
            self._counter += 1
        return self._words.pop()


def compute_roles_seed(chain_id: Digest, round_number: Round, beacon_output: Digest) -> Digest:
    """Return the seed of a round's draw (F2)."""
    return compute_digest(Domain.ROLES, chain_id, round_number.to_bytes(8, "big"), beacon_output)


def compute_draw_weights(preset: Preset, draw_weight_max_bps: Bps, stakes: tuple[Stake, ...]) -> tuple[int, ...]:
    """Return each member's weight in the draw (F2).

    Args:
        preset: In ``PAPER`` every member weighs 1.
        draw_weight_max_bps: The share of the total above which a stake counts no further.
        stakes: The eligible members' bonded stakes, in micro-tokens, each at least 1.
    """
    if preset is Preset.PAPER:
        return tuple(1 for _ in stakes)
    total = sum(stakes)
    equal_share = -(-total // len(stakes))
    cap = max(total * draw_weight_max_bps // BPS_WHOLE, equal_share)
    return tuple(min(stake, cap) for stake in stakes)


def compute_draw_order(seed: Digest, weights: tuple[int, ...]) -> tuple[int, ...]:
    """Return all indexes in the order in which they are drawn, by weight and without replacement.

    Args:
        seed: As :func:`compute_roles_seed` gives it.
        weights: Each at least 1; their sum is at most 2**64.
    """
    stream = CounterStream(seed)
    remaining = list(range(len(weights)))
    total = sum(weights)
    order: list[int] = []
    while remaining:
        index = remaining.pop(_find_place(remaining, weights, stream.draw_below(total)))
        order.append(index)
        total -= weights[index]
    return tuple(order)


def _find_place(remaining: list[int], weights: tuple[int, ...], ticket: int) -> int:
    """Return where in ``remaining`` a ticket's owner is, when tickets are dealt in order, one per unit of weight."""
    for place, index in enumerate(remaining):
        if ticket < weights[index]:
            return place
        ticket -= weights[index]
    raise InvariantViolation("a draw fell outside of the weights")


def compute_role_counts(parameters: Parameters, eligible_count: int) -> tuple[int, int]:
    """Return how many members propose and how many vote, given how many are eligible.

    At most half of them propose, so that there are always as many who judge and have no update of their own. Voters
    are an odd number, so that a full count cannot tie (F9). Where the others are too few, proposers vote as well: a
    committee of everybody falls to nobody who holds less than half of it, and small ones fall by bad luck (F16). In
    preset ``paper`` nobody does both.

    Raises:
        InvariantViolation: Fewer than two are eligible.
    """
    if eligible_count < 2:
        raise InvariantViolation(f"no round with {eligible_count} eligible members")
    proposer_count = min(parameters.proposer_count, eligible_count // 2)
    may_vote_count = eligible_count - proposer_count if parameters.preset is Preset.PAPER else eligible_count
    voter_count = min(parameters.voter_count_max, may_vote_count)
    if voter_count % 2 == 0:
        voter_count -= 1
    return proposer_count, voter_count


def draw_roles(parameters: Parameters, seed: Digest, eligible: tuple[tuple[MemberId, Stake], ...]) -> Roles:
    """Return the roles of a round: first the proposers, then the voters, then the standbys (F2).

    Where the order comes to its end before the voters are complete, it begins anew: the first proposers vote as well.

    Args:
        parameters: The network's.
        seed: As :func:`compute_roles_seed` gives it.
        eligible: The members and bonded stakes fixed when the round opened, sorted by member (F1).
    """
    stakes = tuple(stake for _, stake in eligible)
    weights = compute_draw_weights(parameters.preset, parameters.draw_weight_max_bps, stakes)
    order = [eligible[index][0] for index in compute_draw_order(seed, weights)]
    proposer_count, voter_count = compute_role_counts(parameters, len(eligible))
    rest = order[proposer_count:]
    return Roles(
        proposers=tuple(order[:proposer_count]),
        voters=tuple([*rest, *order][:voter_count]),
        standbys=tuple(rest[voter_count:]),
    )
