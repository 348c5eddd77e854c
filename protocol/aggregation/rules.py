"""The aggregation rules: from the network's choice to a recipe for the updates at hand (F5).

The order of the updates is that of their artifact digests, which decides ties and nothing else. Rules that allow for f
malicious updates take the assumed share of those at hand, rounded up. Where there are too few for that f, f is as large
as the rule can bear; where there are too few for f = 1, the median takes the rule's place.
"""

from typing import Final

from protocol.aggregation.products import Products, compute_squared_distances
from protocol.aggregation.recipes import NearMedianMean, Recipe, TrimmedMean, make_mean, make_median
from protocol.aggregation.selection import select_bulyan, select_krum
from protocol.aggregation.weighting import weigh_centered_clipping, weigh_clipped_mean, weigh_geometric_median
from protocol.errors import InvariantViolation
from protocol.parameters import UPDATE_COUNT_MAX, AggregationChoice, AggregationRule, compute_malicious_count_max
from protocol.units import BPS_WHOLE

RULES_OF_WHOLE_UPDATES: Final = frozenset(
    {
        AggregationRule.CLIPPED_MEAN,
        AggregationRule.KRUM,
        AggregationRule.MULTI_KRUM,
        AggregationRule.BULYAN,
        AggregationRule.GEOMETRIC_MEDIAN,
        AggregationRule.CENTERED_CLIPPING,
    }
)
"""Those that need inner products, and so a pass over the updates before the one that makes the candidate."""


def make_recipe(choice: AggregationChoice, *, update_count: int, products: Products | None) -> Recipe:
    """Return what a rule does with the updates of a round.

    Args:
        choice: The network's rule and its numbers.
        update_count: 1 to 255.
        products: Of the updates in canonical order, for one of :data:`RULES_OF_WHOLE_UPDATES`; else None.

    Raises:
        InvariantViolation: No updates, too many, or inner products that are missing or of other updates.
    """
    if not 1 <= update_count <= UPDATE_COUNT_MAX:
        raise InvariantViolation(f"{update_count} updates to aggregate, 1 to {UPDATE_COUNT_MAX} are supported")
    members = tuple(range(update_count))
    match choice.rule:
        case AggregationRule.MEAN:
            return make_mean(members)
        case AggregationRule.MEDIAN:
            return make_median(members)
        case AggregationRule.TRIMMED_MEAN | AggregationRule.KRUM | AggregationRule.MULTI_KRUM | AggregationRule.BULYAN:
            malicious_count = compute_malicious_count(choice, update_count)
            if malicious_count is None:
                return make_median(members)
            if choice.rule is AggregationRule.TRIMMED_MEAN:
                # Yin et al. (recipes.make_median), definition 2.
                return TrimmedMean(members=members, trim_count=malicious_count)
            return _select(choice.rule, _check_products(products, update_count), malicious_count)
        case AggregationRule.CLIPPED_MEAN | AggregationRule.GEOMETRIC_MEDIAN | AggregationRule.CENTERED_CLIPPING:
            return _weigh(choice, _check_products(products, update_count))


def compute_malicious_count(choice: AggregationChoice, update_count: int) -> int | None:
    """Return how many malicious ones among so many updates a rule allows for.

    Returns:
        The assumed share, rounded up, or what the rule can bear if that is less; None where it cannot bear even one,
        or has too few updates to do anything.
    """
    assumed = -(-update_count * choice.malicious_assumed_bps // BPS_WHOLE)
    bearable = compute_malicious_count_max(choice.rule, update_count)
    return None if bearable < min(assumed, 1) else min(assumed, bearable)


def _check_products(products: Products | None, update_count: int) -> Products:
    if products is None or len(products) != update_count:
        raise InvariantViolation("this rule needs the inner products of the updates that it joins")
    return products


def _select(rule: AggregationRule, products: Products, malicious_count: int) -> Recipe:
    distances = compute_squared_distances(products)
    if rule is AggregationRule.BULYAN:
        selected = select_bulyan(distances, malicious_count=malicious_count)
        return NearMedianMean(members=selected, keep_count=len(selected) - 2 * malicious_count)
    select_count = 1 if rule is AggregationRule.KRUM else len(products) - malicious_count
    return make_mean(select_krum(distances, malicious_count=malicious_count, select_count=select_count))


def _weigh(choice: AggregationChoice, products: Products) -> Recipe:
    radius_micro, iterations = choice.clip_radius_micro, choice.aggregation_iterations
    if choice.rule is AggregationRule.CLIPPED_MEAN:
        return weigh_clipped_mean(products, radius_micro=radius_micro)
    if choice.rule is AggregationRule.CENTERED_CLIPPING:
        return weigh_centered_clipping(products, radius_micro=radius_micro, iterations=iterations)
    return weigh_geometric_median(products, iterations=iterations)
