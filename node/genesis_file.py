"""``genesis.json``: the genesis document as people read and exchange it.

The file is the document's fields as strict JSON, with the chain id, so that a document that was edited by hand is
noticed and two founders can compare one line. Members agree on the canonical encoding, not on the text.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.cards import Card, read_document
from node.durable import save_file
from node.errors import ConfigError
from node.json_documents import format_json, from_json, parse_json, to_json
from protocol.errors import ProtocolError
from protocol.genesis import (
    GENESIS_BYTES_MAX,
    GENESIS_VERSION,
    Founder,
    Genesis,
    TaskSpec,
    check_genesis,
    compute_chain_id,
)
from protocol.learning.artifact_format import ModelSchema, check_schema, compute_model_size_bytes
from protocol.parameters import Parameters
from protocol.units import Digest, Millis

GENESIS_FILE_NAME: Final = "genesis.json"
GENESIS_TEXT_BYTES_MAX: Final = 4 * GENESIS_BYTES_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What the members train."""

    task: TaskSpec
    schema: ModelSchema
    model_digest: Digest
    """The artifact digest of the initial model."""


def build_genesis(
    cards: tuple[Card, ...], *, name: str, parameters: Parameters, training: Training, seed: Digest, created_ms: Millis
) -> Genesis:
    """Return the genesis document of founders with equal stake.

    Args:
        cards: One per founder, each checked already.
        name: The network's, for people.
        parameters: The network's numbers and choices.
        training: The task and its initial model.
        seed: Random bytes where leaders and the beacon start from.
        created_ms: The ledger time of height 0.

    Raises:
        ConfigError: Two founders share a name or key, there are too few, or a parameter is wrong.
    """
    founders = tuple(
        Founder(
            member=card.member,
            name=card.name,
            bls_key=card.bls_key,
            possession=card.possession,
            addresses=card.addresses,
            bonded=parameters.stake_initial,
        )
        for card in sorted(cards, key=lambda card: card.member)
    )
    try:
        check_schema(training.schema)
        genesis = Genesis(
            version=GENESIS_VERSION,
            name=name,
            created_ms=created_ms,
            seed=seed,
            parameters=parameters,
            founders=founders,
            task=training.task,
            schema=training.schema,
            model_digest=training.model_digest,
            model_bytes=compute_model_size_bytes(training.schema),
        )
        check_genesis(genesis)
    except ProtocolError as error:
        raise ConfigError(f"no genesis document from these cards and parameters: {error}") from error
    return genesis


def format_genesis(genesis: Genesis) -> str:
    """Return the text of ``genesis.json``."""
    fields = to_json(genesis)
    assert isinstance(fields, dict)
    return format_json({"chain_id": compute_chain_id(genesis).hex(), **fields})


def parse_genesis(text: str, *, where: str) -> Genesis:
    """Return the checked genesis document of a JSON text.

    Raises:
        ConfigError: An unknown, missing or mistyped key, a broken rule, or a chain id that is not the document's.
    """
    value = parse_json(text, where=where)
    chain_id = value.get("chain_id") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(chain_id, str):
        raise ConfigError(f"{where}: the key 'chain_id' is missing: this is no genesis document")
    genesis = from_json(Genesis, {name: field for name, field in value.items() if name != "chain_id"}, where=where)
    try:
        check_genesis(genesis)
        check_schema(genesis.schema)
        computed = compute_chain_id(genesis).hex()
        model_bytes = compute_model_size_bytes(genesis.schema)
    except ProtocolError as error:
        raise ConfigError(f"{where}: {error}") from error
    if genesis.model_bytes != model_bytes:
        raise ConfigError(
            f"{where}: model_bytes is {genesis.model_bytes}, but a model of this schema has {model_bytes}"
        )
    if computed != chain_id:
        raise ConfigError(
            f"{where}: chain_id is {chain_id[:8]}, but the document is that of chain {computed[:8]}: it was edited or"
            " damaged; get the original from another founder"
        )
    return genesis


def load_genesis(path: Path) -> Genesis:
    """Read a genesis document and check it; errors as :func:`parse_genesis`."""
    return parse_genesis(read_document(path, bytes_max=GENESIS_TEXT_BYTES_MAX), where=str(path))


def save_genesis(path: Path, genesis: Genesis) -> None:
    """Write ``genesis.json`` durably."""
    save_file(path, format_genesis(genesis).encode())
