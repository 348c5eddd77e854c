"""The numbers of a network: bounds, relations, and the constants of the paper."""

from dataclasses import fields, replace

import pytest

from protocol.errors import InvalidMessage
from protocol.operations import OPERATION_BYTES_MAX
from protocol.parameters import (
    PARAMETER_BOUNDS,
    AggregationRule,
    Parameters,
    Preset,
    check_parameters,
    make_paper_parameters,
)
from protocol.units import MICRO_TOKENS_PER_TOKEN

# Extremes that would break a relation unless another parameter moves with them.
PARTNERS: dict[tuple[str, str], dict[str, int]] = {
    ("proposer_count", "lowest"): {"updates_min": 1},
    ("updates_min", "highest"): {"proposer_count": 255},
    ("stake_initial", "lowest"): {"bond_min": 1},
    ("bond_min", "highest"): {"stake_initial": 10**15},
    ("timeout_view_ms", "lowest"): {"block_interval_ms": 0},
    ("timeout_view_ms", "highest"): {"timeout_view_max_ms": 3_600_000},
    ("timeout_view_max_ms", "lowest"): {"timeout_view_ms": 50, "block_interval_ms": 0},
    ("block_interval_ms", "highest"): {},
}
UNREACHABLE = {("block_interval_ms", "highest")}
"""The timeout that it must stay below cannot be set higher than it."""


def test_the_defaults_are_legal() -> None:
    check_parameters(Parameters())


def test_every_integer_has_bounds() -> None:
    bounded = {name for name, _, _ in PARAMETER_BOUNDS}
    assert bounded == {field.name for field in fields(Parameters)} - {"preset", "aggregation"}


@pytest.mark.parametrize(("name", "lowest", "highest"), PARAMETER_BOUNDS)
def test_the_bounds_themselves_are_legal_and_one_beyond_is_not(name: str, lowest: int, highest: int) -> None:
    for end, value, beyond in (("lowest", lowest, lowest - 1), ("highest", highest, highest + 1)):
        partners = PARTNERS.get((name, end), {})
        if (name, end) not in UNREACHABLE:
            check_parameters(replace(Parameters(), **{**partners, name: value}))  # type: ignore[arg-type]
        with pytest.raises(InvalidMessage, match=f"parameter {name} is {beyond}"):
            check_parameters(replace(Parameters(), **{**partners, name: beyond}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"updates_min": 3, "proposer_count": 2}, "updates_min is above proposer_count"),
        ({"aggregation": AggregationRule.KRUM, "proposer_count": 4}, "krum needs proposer_count of at least 5"),
        ({"aggregation": AggregationRule.MULTI_KRUM}, "multi_krum needs proposer_count of at least 5"),
        ({"aggregation": AggregationRule.BULYAN, "proposer_count": 6}, "bulyan needs proposer_count of at least 7"),
        (
            {"aggregation": AggregationRule.BULYAN, "malicious_assumed_bps": 0},
            "bulyan needs proposer_count of at least 3",
        ),
        ({"voter_count_max": 20}, "voter_count_max is even"),
        ({"bond_min": 65 * MICRO_TOKENS_PER_TOKEN}, "bond_min is above stake_initial"),
        ({"timeout_view_ms": 40_000}, "timeout_view_ms is above timeout_view_max_ms"),
        ({"block_interval_ms": 2_000}, "block_interval_ms is not below timeout_view_ms"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(changes: dict[str, int], error: str) -> None:
    with pytest.raises(InvalidMessage, match=error):
        check_parameters(replace(Parameters(), **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "malicious_assumed_bps", "proposer_count"),
    [
        *((rule, 3_000, 1) for rule in AggregationRule if rule.name not in {"KRUM", "MULTI_KRUM", "BULYAN"}),
        (AggregationRule.KRUM, 1, 5),
        (AggregationRule.MULTI_KRUM, 4_999, 5),
        (AggregationRule.BULYAN, 3_000, 7),
        (AggregationRule.KRUM, 0, 3),
        (AggregationRule.BULYAN, 0, 3),
    ],
)
def test_as_few_proposers_as_a_rule_needs_are_legal(
    rule: AggregationRule, malicious_assumed_bps: int, proposer_count: int
) -> None:
    """F5: with fewer, the median would take the rule's place in every round."""
    changes = {"malicious_assumed_bps": malicious_assumed_bps, "proposer_count": proposer_count}
    check_parameters(replace(Parameters(), aggregation=rule, **changes))  # type: ignore[arg-type]


def test_the_numbers_of_the_rules_never_change() -> None:
    assert {rule.name: rule.value for rule in AggregationRule} == {
        "MEAN": 0,
        "MEDIAN": 1,
        "CLIPPED_MEAN": 2,
        "TRIMMED_MEAN": 3,
        "KRUM": 4,
        "MULTI_KRUM": 5,
        "BULYAN": 6,
        "GEOMETRIC_MEDIAN": 7,
        "CENTERED_CLIPPING": 8,
    }


def test_the_smallest_block_has_room_for_the_largest_operation() -> None:
    """C12: an operation that fits no block would keep every leader proposing empty ones for ever."""
    lowest = {name: low for name, low, _ in PARAMETER_BOUNDS}
    assert lowest["block_bytes_max"] >= OPERATION_BYTES_MAX + 8


@pytest.mark.parametrize(("members", "proposers"), [(4, 1), (10, 1), (20, 2), (50, 5)])
def test_the_papers_preset_has_the_papers_constants(members: int, proposers: int) -> None:
    """F5, F14: 64 tokens, 8 per slash, a tenth proposing, tolerance 0.05, plain mean."""
    paper = make_paper_parameters(Parameters(), member_count=members)
    check_parameters(paper)
    eight = 8 * MICRO_TOKENS_PER_TOKEN
    assert (paper.preset, paper.aggregation) == (Preset.PAPER, AggregationRule.MEAN)
    assert (paper.stake_initial, paper.slash_update, paper.slash_vote, paper.bond_min) == (
        8 * eight,
        eight,
        eight,
        eight,
    )
    assert (paper.proposer_count, paper.tolerance_bps, paper.reward_vote, paper.reward_update) == (proposers, 500, 0, 0)
