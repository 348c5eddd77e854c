"""How likely a committee falls to attackers (F16): what ``genesis create`` tells its users about their numbers."""

from math import comb

from protocol.parameters import Parameters

MALICIOUS_SHARE_PERCENT = 30
"""The share of malicious members that the printed probability assumes."""


def compute_voter_count(parameters: Parameters, member_count: int) -> int:
    """Return how many voters a round of this many eligible members draws: odd, or one (F2)."""
    proposer_count = min(parameters.proposer_count, max(1, member_count // 2))
    voter_count = min(parameters.voter_count_max, member_count - proposer_count)
    return voter_count - 1 if voter_count > 1 and voter_count % 2 == 0 else voter_count


def compute_capture_probability(*, member_count: int, malicious_count: int, voter_count: int) -> float:
    """Return the chance that malicious members are more than half of the voters drawn.

    The draw is taken as uniform without replacement, as it is while stakes are equal; the number of malicious voters
    then has the hypergeometric distribution.
    """
    total = comb(member_count, voter_count)
    captured = sum(
        comb(malicious_count, count) * comb(member_count - malicious_count, voter_count - count)
        for count in range(voter_count // 2 + 1, min(voter_count, malicious_count) + 1)
    )
    return captured / total
