"""What founders are told about their document."""

import pytest

from node.commands.genesis_report import compute_absent_max
from tests.founders import make_founders
from tests.helpers import LedgerBuilder


@pytest.mark.parametrize(("count", "absent_max"), [(2, 0), (3, 0), (4, 1), (6, 1), (7, 2), (9, 2), (10, 3)])
def test_how_many_may_be_away_is_what_leaves_a_quorum(count: int, absent_max: int) -> None:
    assert compute_absent_max(LedgerBuilder(make_founders(count)).genesis) == absent_max
