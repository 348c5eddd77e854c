"""The beacon's outputs as JSON that drand's own tools can check, audited on the way out (B1)."""

import tempfile
from pathlib import Path

from node.json_values import JsonObject, JsonValue
from node.ledger_export import export_ledger
from protocol.audit import AuditReport, verify_export
from protocol.beacon_history import SCHEME, DrawnOutput


def read_beacon(home: Path) -> AuditReport:
    """Return the audit of a home's ledger, every output of the beacon checked against its group key.

    Raises:
        ConfigError: There is no ledger there.
        StoreCorrupt: The database is damaged.
        AuditFailure: The ledger is wrong; the error names the height.
    """
    with tempfile.TemporaryFile() as scratch:
        export_ledger(home, scratch)
        scratch.seek(0)
        return verify_export(scratch)


def describe_beacon(report: AuditReport) -> JsonObject:
    """Return every output as JSON: keys and signatures are compressed points, all bytes in hex.

    Returns:
        ``epochs`` has one entry for each group key, from the epoch on in which it came into use; a round that is marked
        ``degraded`` has no signature, and ``randomness`` is then the RANDAO mix, which no key vouches for. Rounds that
        opened before the first key stand under ``before_first_key``.
    """
    epochs: list[JsonValue] = [
        {
            "epoch": key.epoch,
            "public_key": key.public_key.hex(),
            "threshold": key.threshold,
            "holders": [member.hex() for member in key.holders],
            "beacons": [_describe_output(drawn) for drawn in key.outputs],
        }
        for key in report.beacon_keys
    ]
    return {
        "scheme": SCHEME,
        "network": report.network_name,
        "chain_id": report.chain_id.hex(),
        "epochs": epochs,
        "before_first_key": [_describe_output(drawn) for drawn in report.outputs_without_key],
    }


def _describe_output(drawn: DrawnOutput) -> JsonObject:
    return {
        "round": drawn.round,
        "signature": "" if drawn.proof is None else drawn.proof.signature.hex(),
        "randomness": drawn.output.hex(),
        "degraded": drawn.proof is None,
    }
