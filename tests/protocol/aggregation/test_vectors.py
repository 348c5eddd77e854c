"""Pinned digests of candidates (F4, F5): whoever computes others of these inputs agrees with nobody.

A change that is meant is accepted with ``python -m bench.candidate_bits --write``; it splits every chain.
"""

import json

import pytest

from bench.candidate_bits import VECTORS, compute_digests, compute_torch_digests, make_cases
from protocol.parameters import AggregationRule

PINNED = json.loads(VECTORS.read_text(encoding="utf-8"))


def test_every_rule_has_pinned_digests() -> None:
    assert {name: set(rules) for name, rules in PINNED.items()} == {
        name: {rule.name.lower() for rule in AggregationRule} for name in make_cases()
    }


def test_candidates_have_the_pinned_digests() -> None:
    assert compute_digests() == PINNED


def test_torch_computes_the_same_bits() -> None:
    assert compute_torch_digests("cpu") == PINNED


@pytest.mark.parametrize("name", ["seven and three", "forty"])
def test_the_rules_of_enough_updates_all_differ(name: str) -> None:
    assert len(set(PINNED[name].values())) == len(AggregationRule)
