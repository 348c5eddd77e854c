"""How likely a committee falls to attackers (F16): what ``genesis create`` tells its users about their numbers."""

from math import comb

MALICIOUS_SHARE_PERCENT = 30
"""The share of malicious members that the printed probability assumes."""


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
