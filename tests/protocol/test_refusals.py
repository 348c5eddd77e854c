"""The numbers of refusals (L8): they are on the ledger, so none may change or be given again."""

import json
from pathlib import Path

import pytest

from protocol.errors import InvalidOperation
from protocol.refusals import Refusal

VECTORS = Path(__file__).parents[1] / "vectors" / "refusals.json"
"""Every number that was ever given; a new one is added, and none is removed."""


def test_every_refusal_has_its_pinned_number() -> None:
    assert {refusal.name: refusal.value for refusal in Refusal} == json.loads(VECTORS.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("detail", "message"), [("", "WRONG_BOND"), ("5, not 6", "WRONG_BOND: 5, not 6")])
def test_a_refused_operations_error_carries_the_refusal_and_details_for_people(detail: str, message: str) -> None:
    error = InvalidOperation(Refusal.WRONG_BOND, detail)
    assert (error.refusal, str(error)) == (Refusal.WRONG_BOND, message)
