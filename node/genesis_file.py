"""``genesis.json``: the genesis document as people read and exchange it; and its draft, before it has a seed.

The file is the document's fields as strict JSON, with the chain id, or the draft id, so that a document that was edited
by hand is noticed and two founders can compare one line. Members agree on the canonical encoding, not on the text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

from node.cards import Card, read_document
from node.durable import save_file
from node.errors import ConfigError
from node.json_documents import format_json, from_json, parse_json, to_json
from node.json_values import JsonValue
from protocol.errors import ProtocolError
from protocol.genesis import (
    GENESIS_BYTES_MAX,
    GENESIS_VERSION,
    Founder,
    Genesis,
    TaskSpec,
    check_genesis,
    check_genesis_draft,
    compute_chain_id,
    compute_draft_id,
)
from protocol.learning.artifact_format import ModelSchema, check_schema, compute_model_size_bytes
from protocol.parameters import Parameters
from protocol.seeds import (
    DrandRound,
    FoundersSeed,
    SeedCommitment,
    SeedReveal,
    check_seed_reveal,
    compute_drand_seed,
    compute_founders_seed,
)
from protocol.units import ZERO_DIGEST, Digest, Millis

GENESIS_FILE_NAME: Final = "genesis.json"
DRAFT_FILE_NAME: Final = "genesis.draft.json"
GENESIS_TEXT_BYTES_MAX: Final = 4 * GENESIS_BYTES_MAX

SeedOrigin: TypeAlias = Digest | tuple[SeedCommitment, ...] | DrandRound
"""Where the seed comes from: whoever writes the document, all founders together, or a drand round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What the members train."""

    task: TaskSpec
    schema: ModelSchema
    model_digest: Digest
    """The artifact digest of the initial model."""


def build_genesis(
    cards: tuple[Card, ...],
    *,
    name: str,
    parameters: Parameters,
    training: Training,
    seed: SeedOrigin,
    created_ms: Millis,
) -> Genesis:
    """Return the genesis document of founders with equal stake; with their commitments for a seed, its draft.

    Args:
        cards: One per founder, each checked already.
        name: The network's, for people.
        parameters: The network's numbers and choices.
        training: The task and its initial model.
        seed: Random bytes where leaders and the beacon start from, or what makes them.
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
            seed=_compute_seed(seed),
            founders_seed=sort_commitments(cards, seed) if isinstance(seed, tuple) else None,
            drand=seed if isinstance(seed, DrandRound) else None,
            parameters=parameters,
            founders=founders,
            task=training.task,
            schema=training.schema,
            model_digest=training.model_digest,
            model_bytes=compute_model_size_bytes(training.schema),
        )
        (check_genesis_draft if isinstance(seed, tuple) else check_genesis)(genesis)
    except ProtocolError as error:
        raise ConfigError(f"no genesis document from these cards and parameters: {error}") from error
    return genesis


def _compute_seed(seed: SeedOrigin) -> Digest:
    match seed:
        case bytes():
            return seed
        case DrandRound():
            return compute_drand_seed(seed)
        case _:
            return ZERO_DIGEST


def sort_commitments(cards: tuple[Card, ...], commitments: tuple[SeedCommitment, ...]) -> FoundersSeed:
    """Return the commitments in the order of the founders.

    Raises:
        ConfigError: Not every founder committed exactly once, or somebody else did; the message names them.
    """
    by_member = {commitment.member: commitment for commitment in commitments}
    missing = [card.name for card in cards if card.member not in by_member]
    if missing:
        raise ConfigError(
            f"no seed commitment of {', '.join(missing)}: all founders commit (`pnyx genesis commit`), or none"
        )
    if len(commitments) != len(by_member):
        raise ConfigError("a founder has two seed commitments: give the newer one only")
    strangers = sorted(set(by_member) - {card.member for card in cards})
    if strangers:
        raise ConfigError(f"there is a seed commitment of member {strangers[0].hex()[:8]}, but no card")
    return FoundersSeed(commitments=tuple(by_member[member] for member in sorted(by_member)), reveals=())


def finish_draft(draft: Genesis, reveals: Sequence[SeedReveal]) -> Genesis:
    """Return the genesis document of a draft whose founders have revealed.

    Raises:
        ConfigError: A founder's reveal is missing, comes twice or does not hold; the message names the founder.
    """
    assert draft.founders_seed is not None
    draft_id = compute_draft_id(draft)
    by_member = {reveal.member: reveal for reveal in reveals}
    missing = [founder.name for founder in draft.founders if founder.member not in by_member]
    if missing:
        raise ConfigError(
            f"no seed reveal of {', '.join(missing)}: without it there is no seed; ask for `pnyx genesis reveal`,"
            " or found the network without who refuses, with new commitments"
        )
    if len(reveals) != len(draft.founders):
        raise ConfigError("a reveal was given twice, or is of somebody who is no founder: give one of each founder")
    ordered = tuple(by_member[founder.member] for founder in draft.founders)
    for founder, reveal, commitment in zip(draft.founders, ordered, draft.founders_seed.commitments, strict=True):
        try:
            check_seed_reveal(reveal, commitment, draft_id)
        except ProtocolError as error:
            raise ConfigError(f"the seed reveal of {founder.name} does not hold: {error}") from error
    founders_seed = replace(draft.founders_seed, reveals=ordered)
    return replace(draft, seed=compute_founders_seed(draft_id, ordered), founders_seed=founders_seed)


def format_genesis(genesis: Genesis) -> str:
    """Return the text of ``genesis.json``."""
    return _format_document(genesis, "chain_id", compute_chain_id(genesis))


def format_draft(draft: Genesis) -> str:
    """Return the text of ``genesis.draft.json``."""
    return _format_document(draft, "draft_id", compute_draft_id(draft))


def _format_document(genesis: Genesis, id_key: str, computed: Digest) -> str:
    fields = to_json(genesis)
    assert isinstance(fields, dict)
    return format_json({id_key: computed.hex(), **fields})


def parse_genesis(text: str, *, where: str) -> Genesis:
    """Return the checked genesis document of a JSON text.

    Raises:
        ConfigError: An unknown, missing or mistyped key, a broken rule, or a chain id that is not the document's.
    """
    return _parse_document(text, where, ("chain_id", "chain", compute_chain_id, check_genesis))


def parse_draft(text: str, *, where: str) -> Genesis:
    """Return the checked draft of a JSON text; errors as :func:`parse_genesis`."""
    return _parse_document(text, where, ("draft_id", "draft", compute_draft_id, check_genesis_draft))


_Kind: TypeAlias = tuple[str, str, Callable[[Genesis], Digest], Callable[[Genesis], None]]
"""(the key of the document's id, what the id names, how it is computed, how the document is checked)"""


def _parse_document(text: str, where: str, kind: _Kind) -> Genesis:
    id_key, word, compute_id, check = kind
    value = parse_json(text, where=where)
    stated = value.get(id_key) if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(stated, str):
        raise ConfigError(f"{where}: the key {id_key!r} is missing: {_say_what_it_is(value, id_key)}")
    _check_version(value.get("version"), where)
    genesis = from_json(Genesis, {name: field for name, field in value.items() if name != id_key}, where=where)
    try:
        check(genesis)
        check_schema(genesis.schema)
        computed = compute_id(genesis).hex()
        model_bytes = compute_model_size_bytes(genesis.schema)
    except ProtocolError as error:
        raise ConfigError(f"{where}: {error}") from error
    if genesis.model_bytes != model_bytes:
        raise ConfigError(
            f"{where}: model_bytes is {genesis.model_bytes}, but a model of this schema has {model_bytes}"
        )
    if computed != stated:
        raise ConfigError(
            f"{where}: {id_key} is {stated[:8]}, but the document is that of {word} {computed[:8]}: it was edited or"
            " damaged; get the original from another founder"
        )
    return genesis


def _check_version(version: JsonValue, where: str) -> None:
    """Check the version before the fields, since another one may have other fields."""
    if type(version) is not int or version == GENESIS_VERSION:
        return
    known = f"genesis version {version}, this software plays by the rules of version {GENESIS_VERSION}"
    if version > GENESIS_VERSION:
        raise ConfigError(f"{where} has {known}: install the newer pnyx that its members run")
    raise ConfigError(f"{where} has {known}: go on with the pnyx that its members run, or found a new network")


def _say_what_it_is(value: JsonValue, id_key: str) -> str:
    if isinstance(value, dict) and "draft_id" in value:
        return "this is the draft of a genesis document (`pnyx genesis finish` makes one of it)"
    if isinstance(value, dict) and "chain_id" in value:
        return "this is a genesis document already, with a seed"
    return "this is no genesis document" if id_key == "chain_id" else "this is no draft of a genesis document"


def load_draft(path: Path) -> Genesis:
    """Read the draft of a genesis document and check it; errors as :func:`parse_genesis`."""
    return parse_draft(read_document(path, bytes_max=GENESIS_TEXT_BYTES_MAX), where=str(path))


def save_draft(path: Path, draft: Genesis) -> None:
    """Write ``genesis.draft.json`` durably."""
    save_file(path, format_draft(draft).encode())


def load_genesis_or_draft(path: Path) -> Genesis:
    """Read either; errors as :func:`parse_genesis`."""
    text = read_document(path, bytes_max=GENESIS_TEXT_BYTES_MAX)
    value = parse_json(text, where=str(path))
    is_draft = isinstance(value, dict) and "draft_id" in value
    return (parse_draft if is_draft else parse_genesis)(text, where=str(path))


def load_genesis(path: Path) -> Genesis:
    """Read a genesis document and check it; errors as :func:`parse_genesis`."""
    return parse_genesis(read_document(path, bytes_max=GENESIS_TEXT_BYTES_MAX), where=str(path))


def save_genesis(path: Path, genesis: Genesis) -> None:
    """Write ``genesis.json`` durably."""
    save_file(path, format_genesis(genesis).encode())
