"""Files that people pass around or write: settings, cards, documents and seeds of a genesis. Good, or ConfigError.

The first byte of an input chooses the kind of file.
"""

import json
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

from node.cards import format_card, load_card, make_card
from node.config import Config, format_config, load_config
from node.errors import ConfigError
from node.genesis_file import format_draft, format_genesis, load_draft, load_genesis
from node.key_backup import SealedBackup, format_backup, load_backup
from node.keys import NodeKeys
from node.libp2p_transport.sockets import parse_address
from node.peer_ids import member_to_peer_id, peer_id_to_member
from node.seed_files import (
    QUICKNET_PUBLIC_KEY,
    format_commitment,
    format_reveal,
    load_drand_round,
    load_founder_files,
    load_reveal,
)
from protocol.bls import BlsSigningKey
from protocol.crypto import SigningKey
from protocol.genesis import Genesis, check_genesis_draft
from protocol.seeds import FoundersSeed, sign_seed_commitment, sign_seed_reveal
from protocol.units import ZERO_DIGEST, SeedSecret
from tests.fuzz.bytes_mutation import mutate_bytes, splice
from tests.fuzz.driving import make_scratch
from tests.fuzz.json_mutation import make_json_mutator
from tests.fuzz.memo import remember_signatures
from tests.fuzz.recording import Recording, record
from tests.fuzz.target import MIB, Mutator, Target
from tests.tidiness import ROOT

DRAND: Final = json.loads((ROOT / "tests/vectors/drand_quicknet.json").read_text(encoding="utf-8"))["rounds"][0]
SECRET: Final = SeedSecret(bytes([8] * 32))
ADDRESS: Final = "/ip4/192.0.2.7/tcp/4001"
TOML_HOSTILE: Final = (
    b"[" * 400,
    b"x = " + b"[" * 1_100,
    b"x = " + b"{a=" * 1_100,
    b"a" + b".a" * 3_000 + b" = 1",
    b"worker_threads = 0x" + b"f" * 5_000,
    b"worker_threads = " + b"9" * 5_000,
    b"attack_strength = 0x" + b"f" * 400,
    b"attack_strength = nan",
    b"attack_strength = -inf",
    b"name = 2000-02-31T25:00:00Z",
    b"name = 1979-05-27",
    b'name = "\\ud800"',
    b'name = "\\U0011ffff"',
    b"name = '''\x00'''",
    b'name = """',
    b"peers = {}",
    b"[peers]",
    b"[peers.x]",
    b"[[peers]]",
    b'"\\u0000" = 1',
    b"\xff",
    b"\r",
    b"=",
    b"# " + b"x" * 3_000,
)


def _load_settings(path: Path) -> None:
    """Read settings, and what they were written to read as."""
    config = load_config(path, environment={})
    path.write_text(format_config(config), encoding="utf-8")
    assert load_config(path, environment={}) == config, "settings that are written read as others"


def _load_environment(path: Path) -> None:
    """Read settings that lines ``KEY=VALUE`` of the environment override."""
    lines = path.read_bytes().decode("utf-8", "surrogateescape").replace("\0", "").split("\n")
    pairs = [line.partition("=") for line in lines]
    path.write_text('name = "somebody"\n', encoding="utf-8")
    load_config(path, environment={name: value for name, _, value in pairs if name})


def _load_card(path: Path) -> None:
    card = load_card(path)
    path.write_text(format_card(card), encoding="utf-8")
    assert load_card(path) == card, "a card that is written reads as another one"


def _load_genesis(path: Path) -> None:
    genesis = load_genesis(path)
    path.write_text(format_genesis(genesis), encoding="utf-8")
    assert load_genesis(path) == genesis, "a document that is written reads as another one"


def _parse_address(path: Path) -> None:
    parse_address(path.read_bytes().decode("utf-8", "replace"), config_key="listen")


def _parse_peer_id(path: Path) -> None:
    text = path.read_bytes().decode("utf-8", "replace")
    assert member_to_peer_id(peer_id_to_member(text)) == text, "two peer ids of one member"


def _load_founder_file(path: Path) -> None:
    for commitment in load_founder_files([path])[1]:
        path.write_text(format_commitment(commitment), encoding="utf-8")
        assert load_founder_files([path]) == ((), (commitment,)), "a commitment that is written reads as another one"


def _load_reveal(path: Path) -> None:
    reveal = load_reveal(path, ZERO_DIGEST)
    path.write_text(format_reveal(reveal, ZERO_DIGEST), encoding="utf-8")
    assert load_reveal(path, ZERO_DIGEST) == reveal, "a reveal that is written reads as another one"


def _load_drand_round(path: Path) -> None:
    assert load_drand_round(path, QUICKNET_PUBLIC_KEY).round == DRAND["round"], "a round that nobody published verifies"


def _load_draft(path: Path) -> None:
    draft = load_draft(path)
    path.write_text(format_draft(draft), encoding="utf-8")
    assert load_draft(path) == draft, "a draft that is written reads as another one"


def _load_backup(path: Path) -> None:
    backup = load_backup(path)
    path.write_text(format_backup(backup), encoding="utf-8")
    assert load_backup(path) == backup, "a backup that is written reads as another one"


LOADERS: Final[tuple[Callable[[Path], None], ...]] = (
    _load_settings,
    _load_environment,
    _load_card,
    _load_genesis,
    _parse_address,
    _parse_peer_id,
    _load_founder_file,
    _load_reveal,
    _load_drand_round,
    _load_draft,
    _load_backup,
)
JSON_KINDS: Final = frozenset({2, 3, 6, 7, 8, 9, 10})
"""The positions of loaders that read JSON."""


def run(data: bytes) -> None:
    """Read a file of one kind."""
    if not data:
        return
    path = make_scratch() / "document"
    path.write_bytes(data[1:])
    with suppress(ConfigError):
        LOADERS[data[0] % len(LOADERS)](path)


def _make_draft(run_of: Recording) -> Genesis:
    """Return the draft of the recorded network's document."""
    keys = {entry.key.member: entry.key for entry in run_of.keys}
    commitments = tuple(sign_seed_commitment(keys[founder.member], SECRET) for founder in run_of.genesis.founders)
    seed = FoundersSeed(commitments=commitments, reveals=())
    draft = replace(run_of.genesis, seed=ZERO_DIGEST, founders_seed=seed)
    check_genesis_draft(draft)
    return draft


@cache
def make_seeds() -> tuple[bytes, ...]:
    """Return a good file of each kind."""
    remember_signatures()
    run_of = record()
    seed = bytes([5] * 32)
    keys = NodeKeys(
        seed=seed, signing=SigningKey(seed), bls=BlsSigningKey(bytes([6] * 48)), salt_secret=bytes([7] * 32)
    )
    member = keys.signing.member
    config = Config(name="alice", announce=(ADDRESS,), peers=((member, (ADDRESS,)),))
    environment = f"PNYX_NAME=bob\nPNYX_WORKER_THREADS=4\nPNYX_PEERS={member.hex()}={ADDRESS}\nPNYX_INVERT_BALLOTS=yes"
    backup = SealedBackup(
        name="alice",
        member=member,
        argon2id_salt=bytes(16),
        argon2id_operations=3,
        argon2id_memory_bytes=256 * MIB,
        sealed=bytes(64),
    )
    documents = (
        format_config(config),
        environment,
        format_card(make_card(keys, name="alice", addresses=(ADDRESS, "/dns4/example.org/tcp/4001"))),
        format_genesis(run_of.genesis),
        ADDRESS,
        member_to_peer_id(member),
        format_commitment(sign_seed_commitment(keys.signing, SECRET)),
        format_reveal(sign_seed_reveal(keys.signing, ZERO_DIGEST, SECRET), ZERO_DIGEST),
        json.dumps(DRAND),
        format_draft(_make_draft(run_of)),
        format_backup(backup),
    )
    return tuple(bytes([kind]) + document.encode() for kind, document in enumerate(documents))


@cache
def _get_json_mutator() -> Mutator:
    return make_json_mutator([seed[1:] for seed in make_seeds() if seed[0] in JSON_KINDS])


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Change the text in the terms of its kind."""
    kind, text = data[:1] or b"\x00", data[1:]
    if kind[0] % len(LOADERS) in JSON_KINDS:
        return kind + _get_json_mutator()(text, chance)
    lines = text.split(b"\n")
    place = chance.randrange(len(lines))
    match chance.randrange(6):
        case 0:
            lines.insert(place, chance.choice(TOML_HOSTILE))
        case 1:
            del lines[place]
        case 2:
            lines.insert(place, chance.choice(lines))
        case 3:
            name, equals, value = lines[place].partition(b"=")
            lines[place] = name + equals + mutate_bytes(value, chance)
        case 4:
            name, equals, value = lines[place].partition(b"=")
            other = chance.choice([b" 1", b" true", b" 'x'", b" []", b" {}", b" 1.5", b" -1", b" [1]"])
            lines[place] = name + equals + other
        case _:
            return kind + (splice if chance.random() < 0.1 else _mutate_bytes)(text, make_seeds(), chance)
    return kind + b"\n".join(lines)


def _mutate_bytes(text: bytes, _others: object, chance: random.Random) -> bytes:
    return mutate_bytes(text, chance)


TARGET: Final = Target(run=run, seeds=make_seeds, mutate=mutate, memory_bytes=64 * MIB)
