"""What an update's manifest must say (F3, F4)."""

from dataclasses import replace

import pytest

from protocol.errors import InvalidMessage
from protocol.learning.artifact_format import compute_update_size_bytes
from protocol.learning.manifest import check_manifest, get_canonical_key
from protocol.operations import SubmitUpdate
from protocol.parameters import Parameters
from protocol.units import Round
from tests.helpers import SCHEMA, make_digest

SIZE_BYTES = compute_update_size_bytes(SCHEMA)
MANIFEST = SubmitUpdate(
    round=Round(1),
    base_digest=make_digest("base"),
    scale_exponents=(-48, -8),
    artifact_digest=make_digest("update"),
    artifact_bytes=SIZE_BYTES,
    example_count=0,
)


def test_a_manifest_that_fits_the_schema_is_good() -> None:
    check_manifest(Parameters(), SCHEMA, MANIFEST)


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        pytest.param(replace(MANIFEST, scale_exponents=(-20,)), "1 scale exponents?", id="one scale too few"),
        pytest.param(replace(MANIFEST, scale_exponents=(-20,) * 3), "3 scale exponents?", id="frozen tensor"),
        pytest.param(replace(MANIFEST, scale_exponents=(-49, -20)), "exponent -49", id="scale too small"),
        pytest.param(replace(MANIFEST, scale_exponents=(-20, -7)), "exponent -7", id="scale too large"),
        pytest.param(replace(MANIFEST, artifact_bytes=SIZE_BYTES + 1), "updates have", id="size"),
        pytest.param(replace(MANIFEST, example_count=-1), "negative number", id="examples"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(manifest: SubmitUpdate, reason: str) -> None:
    with pytest.raises(InvalidMessage, match=reason):
        check_manifest(Parameters(), SCHEMA, manifest)


def test_an_update_over_the_networks_limit_is_refused() -> None:
    check_manifest(replace(Parameters(), artifact_bytes_max=SIZE_BYTES), SCHEMA, MANIFEST)
    with pytest.raises(InvalidMessage, match="over the limit"):
        check_manifest(replace(Parameters(), artifact_bytes_max=SIZE_BYTES - 1), SCHEMA, MANIFEST)


def test_updates_are_ordered_by_digest_and_then_by_member() -> None:
    low, high = sorted([make_digest("a"), make_digest("b")])
    keys = [get_canonical_key(replace(MANIFEST, artifact_digest=d), m) for d in (high, low) for m in (b"2", b"1")]
    assert sorted(keys) == [(low, b"1"), (low, b"2"), (high, b"1"), (high, b"2")]
