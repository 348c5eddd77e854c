"""F8: which updates a voter flags, by what they do to its score and by what it remembers of their proposers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import InvariantViolation
from protocol.learning.screening import Screening, compute_effect
from protocol.units import Bps, MemberId, Ppm, Round
from tests.values import make_digest

LIMIT = Bps(20)
BASE = Ppm(1_000_000 // 2)
MEMBERS = tuple(MemberId(make_digest("member", number)) for number in range(2))


def judge(screening: Screening, round_number: int, effects_ppm: dict[int, int]) -> list[int]:
    """Return whose update is flagged, by number, when updates move the score by these parts of the base's."""
    moved = [(MEMBERS[number], Ppm(BASE + effect // 2)) for number, effect in effects_ppm.items()]
    flags = screening.judge(Round(round_number), BASE, moved)
    return [number for number, is_flagged in zip(effects_ppm, flags, strict=True) if is_flagged]


@pytest.mark.parametrize(("effect", "flagged"), [(-2_000, []), (-2_002, [0])])
def test_a_member_of_whom_nothing_is_known_is_judged_by_this_update_alone(effect: int, flagged: list[int]) -> None:
    assert judge(Screening(LIMIT), 1, {0: effect}) == flagged


def test_chance_harm_of_a_member_that_did_none_before_is_not_flagged() -> None:
    """One of ten: its share of the mean is a tenth."""
    screening = Screening(LIMIT)
    for number in range(1, 10):
        assert judge(screening, number, {0: 0}) == []
    assert judge(screening, 10, {0: -10_000}) == []


def test_harm_is_flagged_again_and_again_and_so_is_less_of_it() -> None:
    """What is 0.1 % on most days is flagged while the mean is below 0.2 %."""
    screening = Screening(LIMIT)
    assert judge(screening, 1, {0: -8_000}) == [0]
    assert judge(screening, 2, {0: -1_000}) == [0]


def test_an_update_that_does_no_harm_is_not_flagged_whoever_made_it() -> None:
    screening = Screening(LIMIT)
    assert judge(screening, 1, {0: -8_000}) == [0]
    assert judge(screening, 2, {0: 0}) == []


def test_a_gain_counts_up_to_the_limit() -> None:
    """A member that gained the voter 10 % every time, for twenty rounds, is flagged at the fourth harm of 1 %."""
    screening = Screening(LIMIT)
    for number in range(1, 21):
        judge(screening, number, {0: 100_000})
    harmful = [judge(screening, number, {0: -500_000}) for number in range(21, 26)]
    assert harmful == [[], [], [], [0], [0]]


def test_a_loss_counts_up_to_one_per_cent() -> None:
    """Four harmless updates make up for an accident of any size."""
    screening = Screening(LIMIT)
    assert judge(screening, 1, {0: -900_000}) == [0]
    for number in range(2, 6):
        judge(screening, number, {0: 0})
    assert judge(screening, 6, {0: -400}) == []


def test_a_loss_counts_up_to_five_times_a_wide_limit() -> None:
    assert judge(Screening(Bps(500)), 1, {0: -60_000}) == [0]


def test_members_are_remembered_apart() -> None:
    screening = Screening(LIMIT)
    assert judge(screening, 1, {0: -8_000, 1: 0}) == [0]
    assert judge(screening, 2, {0: -1_000, 1: -3_000}) == [0]


def test_a_retrial_is_remembered_once() -> None:
    """F11: what is left of a round is judged as it was before."""
    one, other = Screening(LIMIT), Screening(LIMIT)
    for screening in (one, other):
        judge(screening, 1, {0: -3_000})
        judge(screening, 2, {0: 0})
    assert judge(one, 2, {0: 0}) == []
    assert judge(one, 3, {0: -2_900}) == judge(other, 3, {0: -2_900}) == []
    assert one._evidence == other._evidence


@pytest.mark.parametrize("effect", [-1_000_000, -10_000, 0, 1_000_000])
def test_ten_thousand_switch_it_off(effect: int) -> None:
    screening = Screening(Bps(10_000))
    assert not any(judge(screening, number, {0: effect}) for number in range(1, 30))


@given(st.integers(-1_000_000, -2), st.integers(1, 30))
def test_a_limit_of_nothing_flags_every_loss_of_who_always_harms(effect: int, count: int) -> None:
    screening = Screening(Bps(0))
    assert all(judge(screening, number, {0: effect}) == [0] for number in range(1, count + 1))


@pytest.mark.parametrize(("moved", "base", "effect"), [(450_000, 500_000, -100_000), (1, 3, -666_667), (5, 0, 0)])
def test_effects_are_shares_of_the_bases_score_rounded_down(moved: int, base: int, effect: int) -> None:
    assert compute_effect(Ppm(moved), Ppm(base)) == effect


@pytest.mark.parametrize(("moved", "base"), [(-1, 0), (1_000_001, 0), (0, 1_000_001)])
def test_scores_out_of_range_are_our_own_mistake(moved: int, base: int) -> None:
    with pytest.raises(InvariantViolation):
        compute_effect(Ppm(moved), Ppm(base))
