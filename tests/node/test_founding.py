"""Founding a network: parameters from presets and settings, and what they mean for a committee (F16)."""

import pytest

from node.commands.common import format_bytes, format_score, format_tokens
from node.committees import compute_capture_probability
from node.errors import ConfigError, NodeError, WorkerFailed
from node.failures import raise_cause
from node.founding import build_parameters, parse_pairs
from node.testnet import find_free_ports
from protocol.errors import InvariantViolation
from protocol.parameters import (
    AggregationChoice,
    AggregationRule,
    Parameters,
    Preset,
    get_aggregation_choice,
)
from protocol.units import Bps


def test_what_is_not_chosen_is_the_presets() -> None:
    assert build_parameters(preset=Preset.NEUTRAL, member_count=7, choices={"rounds_max": None}) == Parameters()


def test_the_papers_preset_has_its_own_committee() -> None:
    parameters = build_parameters(preset=Preset.PAPER, member_count=50, choices={})
    assert (parameters.proposer_count, parameters.aggregation) == (5, AggregationRule.MEAN)


def test_choices_and_settings_come_on_top_of_the_preset() -> None:
    parameters = build_parameters(
        preset=Preset.PAPER,
        member_count=50,
        choices={"aggregation": AggregationRule.MEDIAN, "proposer_count": 3},
        settings=("seal_deadline_ms=700",),
    )
    assert (parameters.aggregation, parameters.proposer_count) == (AggregationRule.MEDIAN, 3)
    assert (parameters.preset, parameters.seal_deadline_ms) == (Preset.PAPER, 700)


def test_the_numbers_of_a_rule_are_settings() -> None:
    parameters = build_parameters(
        preset=Preset.NEUTRAL,
        member_count=9,
        choices={"aggregation": AggregationRule.BULYAN, "proposer_count": 7},
        settings=("malicious_assumed_bps=1500", "clip_radius_micro=2500000", "aggregation_iterations=9"),
    )
    assert get_aggregation_choice(parameters) == AggregationChoice(
        rule=AggregationRule.BULYAN,
        malicious_assumed_bps=Bps(1_500),
        clip_radius_micro=2_500_000,
        aggregation_iterations=9,
    )


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("seal_deadline=7", r"unknown parameter 'seal_deadline' \(did you mean 'seal_deadline_ms'\?\)"),
        ("preset=1", "unknown parameter 'preset'"),
        ("seal_deadline_ms=soon", "must be an integer"),
        ("seal_deadline_ms=1", "must be from 100"),
        ("voter_count_max=4", "voter_count_max is even"),
        ("malicious_assumed_bps=5000", "must be from 0 to 4999"),
        ("seal_deadline_ms", "is not key=value"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build_parameters(preset=Preset.NEUTRAL, member_count=7, choices={}, settings=(setting,))


def test_pairs_keep_what_follows_the_first_equals_sign() -> None:
    assert parse_pairs(["a=b=c", "d="]) == {"a": "b=c", "d": ""}
    with pytest.raises(ConfigError, match="given twice"):
        parse_pairs(["a=1", "a=2"])


@pytest.mark.parametrize(("voter_count", "probability"), [(5, 0.15), (9, 0.077), (21, 0.004)])
def test_capture_of_fifty_members_at_thirty_percent_is_as_the_specification_says(
    voter_count: int, probability: float
) -> None:
    found = compute_capture_probability(member_count=50, malicious_count=15, voter_count=voter_count)
    assert found == pytest.approx(probability, rel=0.06)


def test_capture_is_certain_or_impossible_at_the_ends() -> None:
    assert compute_capture_probability(member_count=9, malicious_count=9, voter_count=5) == 1.0
    assert compute_capture_probability(member_count=9, malicious_count=2, voter_count=5) == 0.0


def test_the_error_that_matters_is_found_in_a_group() -> None:
    group = BaseExceptionGroup("outer", [OSError(), ExceptionGroup("inner", [WorkerFailed("worker")])])
    with pytest.raises(WorkerFailed, match="worker"), raise_cause():
        raise group


def test_our_own_mistake_comes_before_what_it_caused() -> None:
    with pytest.raises(InvariantViolation), raise_cause():
        raise ExceptionGroup("both", [NodeError("cut off"), InvariantViolation("sum")])


def test_an_interrupt_comes_out_of_its_group() -> None:
    with pytest.raises(KeyboardInterrupt), raise_cause():
        raise BaseExceptionGroup("both", [OSError("unknown"), KeyboardInterrupt()])


def test_other_errors_stay_in_their_group() -> None:
    with pytest.RaisesGroup(OSError), raise_cause():
        raise ExceptionGroup("all", [OSError("unknown")])


def test_free_ports_are_distinct_and_below_those_of_outgoing_connections() -> None:
    ports = find_free_ports(20)
    assert len(set(ports)) == 20
    assert max(ports) < 32_768


@pytest.mark.parametrize(
    ("amount", "text"),
    [(64_000_000, "64"), (1_500_000, "1.5"), (-8_000_000, "-8"), (1, "0.000001"), (0, "0"), (10_000_000, "10")],
)
def test_amounts_are_printed_in_tokens(amount: int, text: str) -> None:
    assert format_tokens(amount) == text


def test_sizes_and_scores_are_printed_for_people() -> None:
    assert [format_bytes(count) for count in (0, 999, 1_000, 2_500_000)] == ["0 B", "999 B", "1.0 KB", "2.5 MB"]
    assert [format_score(score) for score in (None, 923_456)] == ["-", "0.923"]
