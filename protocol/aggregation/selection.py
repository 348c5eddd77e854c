"""Krum and its relatives: which updates count, by their distances from each other (F5).

Two updates whose scores are equal are told apart by their place in the canonical order, which is that of the artifacts'
digests. Ties are common: of three updates the two that are closest to each other have the same score.
"""

from collections.abc import Sequence

from protocol.aggregation.products import Products


def select_krum(distances: Products, *, malicious_count: int, select_count: int) -> tuple[int, ...]:
    """Return the updates with the best Krum scores, lowest index first.

    A score is the sum of the squared distances to the n - f - 2 closest others. P. Blanchard, E. M. El Mhamdi,
    R. Guerraoui, J. Stainer, "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent", NeurIPS 2017,
    section 4; several of them make multi-Krum, section 5.

    Args:
        distances: Squared, of n updates in canonical order.
        malicious_count: f; n is at least 2 f + 3.
        select_count: How many; 1 to n.
    """
    members = range(len(distances))
    ranked = sorted(members, key=lambda index: (_compute_score(distances, index, members, malicious_count), index))
    return tuple(sorted(ranked[:select_count]))


def select_bulyan(distances: Products, *, malicious_count: int) -> tuple[int, ...]:
    """Return the n - 2 f updates that Krum chooses one after the other, each without those before, lowest index first.

    E. M. El Mhamdi, R. Guerraoui, S. Rouault, "The Hidden Vulnerability of Distributed Learning in Byzantium", ICML
    2018, section 4. Near the end Krum would look at no neighbour at all; here it looks at one while there is one.

    Args:
        distances: Squared, of n updates in canonical order.
        malicious_count: f; n is at least 4 f + 3.
    """
    remaining = list(range(len(distances)))
    selected: list[int] = []
    for _ in range(len(distances) - 2 * malicious_count):
        best = min(remaining, key=lambda index: (_compute_score(distances, index, remaining, malicious_count), index))
        remaining.remove(best)
        selected.append(best)
    return tuple(sorted(selected))


def _compute_score(distances: Products, index: int, among: Sequence[int], malicious_count: int) -> int:
    others = sorted(distances[index][other] for other in among if other != index)
    return sum(others[: max(1, len(among) - malicious_count - 2)])
