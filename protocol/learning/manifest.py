"""What an update's manifest must say, by itself and against the chain's schema and limits (F3, F4).

Who may submit it, and when, is in :mod:`protocol.ledger.checks`.
"""

from protocol.errors import InvalidMessage
from protocol.learning.artifact_format import ModelSchema, check_scale_exponents, compute_update_size_bytes
from protocol.operations import SubmitUpdate
from protocol.parameters import Parameters


def check_manifest(parameters: Parameters, schema: ModelSchema, manifest: SubmitUpdate) -> None:
    """Check a manifest's claims about its artifact.

    Raises:
        InvalidMessage: Scales that do not fit the schema, another size than the schema's updates have, an artifact
            over the network's limit, or a negative number of examples.
    """
    check_scale_exponents(schema, manifest.scale_exponents)
    size_bytes = compute_update_size_bytes(schema)
    if manifest.artifact_bytes != size_bytes:
        raise InvalidMessage(f"an update of {manifest.artifact_bytes} bytes; this chain's updates have {size_bytes}")
    if manifest.artifact_bytes > parameters.artifact_bytes_max:
        raise InvalidMessage(
            f"an update of {manifest.artifact_bytes} bytes is over the limit of {parameters.artifact_bytes_max}"
        )
    if manifest.example_count < 0:
        raise InvalidMessage("a negative number of examples")


def get_canonical_key(manifest: SubmitUpdate, member: bytes) -> tuple[bytes, bytes]:
    """Return what the updates of a round are sorted by, whatever the order in which they came: digest, then member."""
    return manifest.artifact_digest, member
