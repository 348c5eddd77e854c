"""Exports a home's current model as safetensors with its lineage beside it; the node may be running or stopped."""

import json
from contextlib import closing
from pathlib import Path
from typing import Final

from node.durable import save_file
from node.errors import ConfigError
from node.home import HomePaths
from node.json_values import JsonObject
from node.ledger_export import open_ledger
from node.observations import describe_round
from protocol.genesis import compute_chain_id
from protocol.units import Digest, Height, Round

LINEAGE_SUFFIX: Final = ".lineage.json"


def export_current_model(home: Path, output: Path) -> JsonObject:
    """Write the model after the last settled round, and where it comes from; return a report.

    A model artifact is a safetensors file already, so its bytes are copied as they are.

    Raises:
        ConfigError: There is no ledger there, or the node does not hold the model yet.
        DiskFull: There is no space left.
    """
    genesis, reader = open_ledger(home)
    with closing(reader):
        tip = reader.get_tip()
        rounds = reader.get_rounds(Round(1), limit=1_000_000)
    digest = rounds[-1].model_digest if rounds else genesis.model_digest
    lineage_file = output.with_name(output.name + LINEAGE_SUFFIX)
    report: JsonObject = {
        "file": str(output),
        "lineage_file": str(lineage_file),
        "digest": digest.hex(),
        "bytes": genesis.model_bytes,
        "height": Height(0) if tip is None else tip.block.header.height,
        "rounds_settled": len(rounds),
    }
    lineage: JsonObject = {
        **report,
        "chain_id": compute_chain_id(genesis).hex(),
        "network": genesis.name,
        "task": genesis.task.name,
        "genesis_digest": genesis.model_digest.hex(),
        "rounds": [describe_round(record) for record in rounds],
    }
    save_file(output, find_model(home, digest).read_bytes())
    save_file(lineage_file, (json.dumps(lineage, indent=2) + "\n").encode())
    return report


def find_model(home: Path, digest: Digest) -> Path:
    """Return where a model lies in a home.

    Raises:
        ConfigError: The node does not hold it.
    """
    artifacts = HomePaths(root=home).artifacts
    name = digest.hex()
    path = artifacts / name[:2] / name
    if not path.is_file():
        raise ConfigError(f"{home} does not hold model {name[:8]} yet: let the node run until it has caught up")
    return path
