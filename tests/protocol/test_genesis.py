"""The genesis document: what makes one valid, and that its digest names the chain (W2, L1)."""

from dataclasses import replace

import pytest

from protocol.codec import encode
from protocol.errors import InvalidMessage, MalformedMessage
from protocol.genesis import Genesis, TaskSpec, check_genesis, compute_chain_id, decode_genesis
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.ledger.state import build_validator_set
from protocol.units import Bps, Millis, Stake
from tests.founders import make_founders
from tests.helpers import make_genesis

GENESIS = make_genesis(make_founders(3))
FIRST, SECOND, THIRD = GENESIS.founders


def with_first(**changes: object) -> Genesis:
    return replace(GENESIS, founders=(replace(FIRST, **changes), SECOND, THIRD))  # type: ignore[arg-type]


def test_a_good_document_decodes_to_itself() -> None:
    assert decode_genesis(encode(GENESIS)) == GENESIS


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        pytest.param(replace(GENESIS, version=1), "version 1; this software knows version 5", id="version"),
        pytest.param(replace(GENESIS, founders=(FIRST,)), "at least two founders", id="one founder"),
        pytest.param(replace(GENESIS, founders=(SECOND, FIRST, THIRD)), "sorted by member id", id="unsorted founders"),
        pytest.param(replace(GENESIS, founders=(FIRST, FIRST, SECOND)), "each once", id="a founder twice"),
        pytest.param(with_first(name=SECOND.name), "names that are distinct", id="a name twice"),
        pytest.param(with_first(name=""), "1 to 64 characters", id="no name"),
        pytest.param(with_first(name="x" * 65), "1 to 64 characters", id="a long name"),
        pytest.param(
            with_first(bls_key=SECOND.bls_key, possession=SECOND.possession), "share a BLS key", id="a BLS key twice"
        ),
        pytest.param(with_first(possession=SECOND.possession), "does not verify", id="no possession of the BLS key"),
        pytest.param(with_first(bonded=Stake(0)), "0 micro-tokens, not 1 to", id="no stake"),
        pytest.param(with_first(bonded=Stake(10**15 + 1)), "micro-tokens, not 1 to", id="too much stake"),
        pytest.param(replace(GENESIS, created_ms=Millis(2**62 + 1)), "of time 46116860", id="beyond all time"),
        pytest.param(
            replace(GENESIS, task=TaskSpec(name="digits", params=(("b", "1"), ("a", "2")))),
            "not sorted",
            id="unsorted task",
        ),
        pytest.param(
            replace(GENESIS, task=TaskSpec(name="digits", params=(("a", "1"), ("a", "2")))),
            "not sorted",
            id="doubled task key",
        ),
        pytest.param(
            replace(GENESIS, parameters=replace(GENESIS.parameters, voter_count_max=2)),
            "voter_count_max is even",
            id="parameters",
        ),
    ],
)
def test_a_document_with_one_mistake_is_refused(wrong: Genesis, error: str) -> None:
    with pytest.raises(InvalidMessage, match=error):
        check_genesis(wrong)


def test_bytes_that_are_no_document_are_refused() -> None:
    with pytest.raises(MalformedMessage):
        decode_genesis(encode(GENESIS)[:-1])


def test_any_change_makes_another_chain() -> None:
    """W2: two networks that differ in anything never take each other's signatures."""
    changed = [
        replace(GENESIS, name="other"),
        replace(GENESIS, created_ms=Millis(GENESIS.created_ms + 1)),
        replace(GENESIS, parameters=replace(GENESIS.parameters, tolerance_bps=Bps(499))),
        with_first(addresses=()),
        with_first(bonded=Stake(FIRST.bonded + 1)),
    ]
    assert len({compute_chain_id(genesis) for genesis in (GENESIS, *changed)}) == 1 + len(changed)


def test_founders_are_the_first_validators_by_their_stake() -> None:
    genesis = make_genesis(make_founders(3, bonded=[Stake(5), Stake(7), Stake(9)]))
    validators = build_validator_set(compute_genesis_state(genesis))
    assert [validator.weight for validator in validators.validators] == [5, 7, 9]
    assert (validators.epoch, validators.total_weight, validators.quorum_weight) == (0, 21, 15)
    assert [validator.member for validator in validators.validators] == [founder.member for founder in genesis.founders]
