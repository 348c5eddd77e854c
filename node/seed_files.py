"""The files of a genesis seed: what founders send each other, the secret that each keeps, and a drand round.

A founder's secret lies in its home, mode 0600, from its commitment until it is revealed. It is revealed for one draft
only: whoever holds a revealed secret and could still get another draft accepted would choose the seed.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.cards import CARD_BYTES_MAX, Card, parse_card, read_document
from node.durable import save_file
from node.errors import ConfigError
from node.json_documents import check_keys, format_json, from_json, parse_json, to_json
from node.ports import Entropy
from protocol.crypto import SigningKey
from protocol.errors import InvalidMessage
from protocol.seeds import (
    DrandRound,
    SeedCommitment,
    SeedReveal,
    check_drand_round,
    check_seed_commitment,
    sign_seed_commitment,
    sign_seed_reveal,
)
from protocol.units import BlsPublicKey, BlsSignature, Digest, MemberId, Round, SeedSecret, Signature

FILE_BYTES_MAX: Final = 16_384
QUICKNET_PUBLIC_KEY: Final = BlsPublicKey(
    bytes.fromhex(
        "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc2"
        "2b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a"
    )
)
"""Of drand's public network quicknet (chain 52db9ba7), the one with the scheme that we verify."""
QUICKNET_GENESIS_S: Final = 1_692_803_367
QUICKNET_PERIOD_S: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _RevealFile:
    """A reveal, and for which draft it is."""

    draft_id: Digest
    member: MemberId
    secret: SeedSecret
    signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class _SecretFile:
    """What a home keeps."""

    secret: SeedSecret = field(repr=False)
    revealed_for: Digest | None
    """The draft that the secret was revealed for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _DrandFile:
    """What a drand node answers for a round."""

    round: Round
    randomness: Digest
    signature: BlsSignature


def make_commitment(path: Path, key: SigningKey, *, entropy: Entropy) -> SeedCommitment:
    """Return a founder's commitment: the same again until the secret was revealed, then one to a new secret.

    Args:
        path: Where the home keeps the secret.
        key: The founder's.
        entropy: Gives a new secret.

    Raises:
        ConfigError: The file at ``path`` is damaged.
    """
    kept = _load_secret(path) if path.exists() else None
    if kept is None or kept.revealed_for is not None:
        kept = _SecretFile(secret=SeedSecret(entropy.get_bytes(32)), revealed_for=None)
        _save_secret(path, kept)
    return sign_seed_commitment(key, kept.secret)


def reveal_secret(path: Path, key: SigningKey, draft_id: Digest, commitments: Iterable[SeedCommitment]) -> SeedReveal:
    """Return a founder's reveal for a draft, and remember that it was for this one.

    Args:
        path: Where the home keeps the secret.
        key: The founder's.
        draft_id: The draft's.
        commitments: Those in the draft.

    Raises:
        ConfigError: The draft does not contain this home's commitment, or the secret was revealed for another draft.
    """
    if not path.exists():
        raise ConfigError(f"there is no {path}: this home made no seed commitment (`pnyx genesis commit`)")
    kept = _load_secret(path)
    if sign_seed_commitment(key, kept.secret) not in commitments:
        raise ConfigError(
            "the draft does not contain the seed commitment of this home: send what `pnyx genesis commit` prints to"
            " whoever made the draft"
        )
    if kept.revealed_for not in {None, draft_id}:
        assert kept.revealed_for is not None
        raise ConfigError(
            f"the secret was revealed for draft {kept.revealed_for.hex()[:8]} already, and whoever has it could choose"
            " the seed of a second draft: send a new commitment (`pnyx genesis commit`) for another draft"
        )
    _save_secret(path, _SecretFile(secret=kept.secret, revealed_for=draft_id))
    return sign_seed_reveal(key, draft_id, kept.secret)


def format_commitment(commitment: SeedCommitment) -> str:
    """Return a commitment as JSON text."""
    return format_json(to_json(commitment))


def format_reveal(reveal: SeedReveal, draft_id: Digest) -> str:
    """Return a reveal as JSON text."""
    file = _RevealFile(draft_id=draft_id, member=reveal.member, secret=reveal.secret, signature=reveal.signature)
    return format_json(to_json(file))


def load_founder_files(paths: Iterable[Path]) -> tuple[tuple[Card, ...], tuple[SeedCommitment, ...]]:
    """Read what founders sent: cards and seed commitments, told apart by what they hold.

    Raises:
        ConfigError: A file cannot be read, is neither, or does not hold; the message names it.
    """
    cards, commitments = [], []
    for path in paths:
        text = read_document(path, bytes_max=CARD_BYTES_MAX)
        value = parse_json(text, where=str(path))
        if not isinstance(value, dict) or "commitment" not in value:
            cards.append(parse_card(text, where=str(path)))
            continue
        commitment = from_json(SeedCommitment, value, where=str(path))
        try:
            check_seed_commitment(commitment)
        except InvalidMessage as error:
            raise ConfigError(f"{path}: {error}; ask that founder for a new commitment") from error
        commitments.append(commitment)
    return tuple(cards), tuple(commitments)


def load_reveal(path: Path, draft_id: Digest) -> SeedReveal:
    """Read a founder's reveal; whether it opens the commitment shows with the draft.

    Raises:
        ConfigError: It cannot be read, is no reveal, or is one for another draft.
    """
    where = str(path)
    value = parse_json(read_document(path, bytes_max=FILE_BYTES_MAX), where=where)
    file = from_json(_RevealFile, value, where=where)
    if file.draft_id != draft_id:
        raise ConfigError(f"{where}: this reveal is for draft {file.draft_id.hex()[:8]}, not {draft_id.hex()[:8]}")
    return SeedReveal(member=file.member, secret=file.secret, signature=file.signature)


def load_drand_round(path: Path, public_key: BlsPublicKey) -> DrandRound:
    """Read a round as a drand node answers it (``/CHAIN/public/ROUND``), and verify it.

    Raises:
        ConfigError: It cannot be read, is no such answer, or is not the network's output.
    """
    where = str(path)
    value = parse_json(read_document(path, bytes_max=FILE_BYTES_MAX), where=where)
    file = from_json(_DrandFile, check_keys(value, ("round", "randomness", "signature"), where=where), where=where)
    drand = DrandRound(public_key=public_key, round=file.round, signature=file.signature)
    try:
        check_drand_round(drand)
    except InvalidMessage as error:
        raise ConfigError(
            f"{where}: this is no round {file.round} of the drand network {public_key.hex()[:8]}: {error}"
        ) from error
    if hashlib.sha256(file.signature).digest() != file.randomness:
        raise ConfigError(f"{where}: randomness is not the SHA-256 of the signature")
    return drand


def parse_drand_key(text: str) -> BlsPublicKey:
    """Return the public key of a drand network, given in hex; an empty text is quicknet's.

    Raises:
        ConfigError: It is not 96 bytes of hex.
    """
    if not text:
        return QUICKNET_PUBLIC_KEY
    try:
        key = bytes.fromhex(text)
    except ValueError as error:
        raise ConfigError("--drand-key: hex digits are expected") from error
    if len(key) != len(QUICKNET_PUBLIC_KEY):
        raise ConfigError(
            f"--drand-key: a key of {2 * len(QUICKNET_PUBLIC_KEY)} hex digits is expected, not {len(text)}"
        )
    return BlsPublicKey(key)


def _load_secret(path: Path) -> _SecretFile:
    value = parse_json(read_document(path, bytes_max=FILE_BYTES_MAX), where=str(path))
    return from_json(_SecretFile, value, where=str(path))


def _save_secret(path: Path, kept: _SecretFile) -> None:
    save_file(path, format_json(to_json(kept)).encode(), mode=0o600)
