"""Who has which part of a bundled task's data."""

import pytest

from node.data_parts import compute_data_part
from node.errors import ConfigError
from tests.founders import make_founders
from tests.helpers import make_genesis
from tests.newcomers import make_newcomer

GENESIS = make_genesis(make_founders(3))


def test_founders_have_parts_of_their_own() -> None:
    assert [compute_data_part(GENESIS, founder.member, -1) for founder in GENESIS.founders] == [0, 1, 2]


def test_newcomers_share_the_founders_parts_and_not_all_the_same() -> None:
    parts = [compute_data_part(GENESIS, make_newcomer(number).card.member, -1) for number in range(12)]
    assert set(parts) == {0, 1, 2}


def test_the_operator_may_choose_a_part_that_exists() -> None:
    member = GENESIS.founders[0].member
    assert compute_data_part(GENESIS, member, 2) == 2
    with pytest.raises(ConfigError, match="dealt in 3 parts, give 0 to 2"):
        compute_data_part(GENESIS, member, 3)
