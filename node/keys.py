"""A member's secret keys on disk: mode 0600, encrypted when a passphrase is given.

The file holds two seeds: Ed25519 (the member's identity, L1) and BLS (beacon). With a passphrase they are sealed
(:mod:`node.sealing`). Everything else that must stay secret is derived from these, so that nothing but this file has to
be kept.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.durable import save_file
from node.errors import ConfigError
from node.json_documents import format_json, from_json, parse_json, to_json
from node.json_values import JsonValue
from node.ports import Entropy
from node.sealing import Sealed, open_sealed, seal
from protocol.bls import BlsSigningKey
from protocol.crypto import SigningKey

KEY_FILE_NAME: Final = "node.key"
PASSPHRASE_VARIABLE: Final = "PNYX_PASSPHRASE"  # noqa: S105 - the variable's name, not a passphrase
FORMAT_VERSION: Final = 1
ED25519_SEED_BYTES: Final = 32
BLS_SEED_BYTES: Final = 48

SECRET_BYTES: Final = ED25519_SEED_BYTES + BLS_SEED_BYTES

GetPassphrase = Callable[[], str | None]
"""Asks for the passphrase, or returns None if there is nobody to ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeKeys:
    """A member's keys, in memory; never printed."""

    seed: bytes = field(repr=False)
    """The 32-byte Ed25519 seed, for the network's own handshake."""
    signing: SigningKey = field(repr=False)
    bls: BlsSigningKey = field(repr=False)
    salt_secret: bytes = field(repr=False)
    """Where the salts of this member's sealed ballots derive from, 32 bytes; the same after every restart (F8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _PlainFile:
    version: int
    ed25519_seed: bytes
    bls_seed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _SealedFile:
    version: int
    argon2id_salt: bytes
    argon2id_operations: int
    argon2id_memory_bytes: int
    sealed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySecret:
    """What a key file holds."""

    seeds: bytes = field(repr=False)
    """The Ed25519 seed, then the BLS seed."""
    keys: NodeKeys
    """What they give."""
    is_encrypted: bool
    """Whether the file asks for a passphrase."""


def create_keys(directory: Path, *, entropy: Entropy, passphrase: str | None) -> NodeKeys:
    """Make new keys and save them.

    Args:
        directory: Where ``node.key`` goes; created with mode 0700.
        entropy: Gives the seeds.
        passphrase: Encrypts the file; None leaves that to the disk.

    Raises:
        ConfigError: There is a key file already, or the passphrase is empty.
    """
    seeds = entropy.get_bytes(SECRET_BYTES)
    check_no_key(directory)
    save_key(directory, seeds, entropy=entropy, passphrase=passphrase)
    return make_keys(seeds, where="the new key")


def check_no_key(directory: Path) -> None:
    """Check that a directory has no key file.

    Raises:
        ConfigError: It has one, or is not ours to read.
    """
    path = directory / KEY_FILE_NAME
    try:
        is_there = path.exists()
    except OSError as error:
        raise _build_foreign_error(path, error) from error
    if is_there:
        raise ConfigError(f"{path} exists: a key is never overwritten; move it away if it is really no longer needed")


def save_key(directory: Path, seeds: bytes, *, entropy: Entropy, passphrase: str | None) -> None:
    """Write the key file, durably and in one step, in place of one that is there; otherwise as :func:`create_keys`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    save_file(directory / KEY_FILE_NAME, _encode_file(seeds, passphrase, entropy).encode(), mode=0o600)


def load_keys(directory: Path, *, get_passphrase: GetPassphrase | None = None) -> NodeKeys:
    """Load the keys of a node; arguments and errors as :func:`load_key`."""
    return load_key(directory, get_passphrase=get_passphrase).keys


def load_key(directory: Path, *, get_passphrase: GetPassphrase | None = None) -> KeySecret:
    """Load what the key file holds.

    Args:
        directory: The home's ``keys``.
        get_passphrase: Called only if the file is encrypted; None reads ``PNYX_PASSPHRASE`` alone.

    Raises:
        ConfigError: No key, readable by others, damaged, or a wrong passphrase.
    """
    path = directory / KEY_FILE_NAME
    document = parse_json(_read_private(path), where=str(path))
    is_encrypted = isinstance(document, dict) and "sealed" in document
    if is_encrypted:
        file = from_json(_SealedFile, document, where=str(path))
        _check_version(file.version, path)
        passphrase = (get_passphrase or get_environment_passphrase)()
        if not passphrase:
            raise ConfigError(f"{path} is encrypted: set {PASSPHRASE_VARIABLE} or start the command in a terminal")
        seeds = open_sealed(_get_sealed(file), passphrase, where=str(path))
    else:
        plain = _read_plain(document, path)
        _check_version(plain.version, path)
        seeds = plain.ed25519_seed + plain.bls_seed
    return KeySecret(seeds=seeds, keys=make_keys(seeds, where=str(path)), is_encrypted=is_encrypted)


def get_environment_passphrase(
    environment: Mapping[str, str] = os.environ, *, variable: str = PASSPHRASE_VARIABLE
) -> str | None:
    """Return the passphrase that the environment gives, if any."""
    return environment.get(variable) or None


def _read_private(path: Path) -> str:
    try:
        for place in (path.parent, path):
            check_private(place)
        # Bytes that are no text are no JSON either, and are refused as such.
        return path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        raise ConfigError(
            f"there is no key at {path}: make a home with `pnyx init`, or bring its backup here with `pnyx key restore`"
        ) from None
    except OSError as error:
        raise _build_foreign_error(path, error) from error


def _build_foreign_error(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{path}: {error.strerror or error}: run this as the user whose node it is")


def check_private(path: Path) -> None:
    """Check that nobody but the owner can read a file or directory.

    Raises:
        ConfigError: Somebody else can.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        wanted = "700" if path.is_dir() else "600"
        raise ConfigError(f"{path} is open to other users (mode {mode:03o}): run `chmod {wanted} {path}`")


def _encode_file(seeds: bytes, passphrase: str | None, entropy: Entropy) -> str:
    if passphrase is None:
        return format_json(
            to_json(
                _PlainFile(
                    version=FORMAT_VERSION,
                    ed25519_seed=seeds[:ED25519_SEED_BYTES],
                    bls_seed=seeds[ED25519_SEED_BYTES:],
                )
            )
        )
    sealed = seal(seeds, passphrase, entropy=entropy)
    return format_json(
        to_json(
            _SealedFile(
                version=FORMAT_VERSION,
                argon2id_salt=sealed.argon2id_salt,
                argon2id_operations=sealed.argon2id_operations,
                argon2id_memory_bytes=sealed.argon2id_memory_bytes,
                sealed=sealed.sealed,
            )
        )
    )


def _read_plain(document: JsonValue, path: Path) -> _PlainFile:
    try:
        return from_json(_PlainFile, document, where=str(path))
    except ConfigError:
        # Its text would show a value that is wrong, and these are secret.
        raise ConfigError(f"{path} is no key file, or damaged: bring its backup here with `pnyx key restore`") from None


def _get_sealed(file: _SealedFile) -> Sealed:
    return Sealed(
        argon2id_salt=file.argon2id_salt,
        argon2id_operations=file.argon2id_operations,
        argon2id_memory_bytes=file.argon2id_memory_bytes,
        sealed=file.sealed,
    )


def make_keys(seeds: bytes, *, where: str) -> NodeKeys:
    """Return the keys that two seeds give.

    Raises:
        ConfigError: They are not of the right length; the message begins with ``where``.
    """
    if len(seeds) != SECRET_BYTES:
        raise ConfigError(f"{where} holds {len(seeds)} secret bytes, not {SECRET_BYTES}: take its backup")
    seed, bls_seed = seeds[:ED25519_SEED_BYTES], seeds[ED25519_SEED_BYTES:]
    return NodeKeys(
        seed=seed,
        signing=SigningKey(seed),
        bls=BlsSigningKey(bls_seed),
        salt_secret=hashlib.blake2b(key=seeds[:64], digest_size=32, person=b"pnyx/1/salt").digest(),
    )


def _check_version(version: int, path: Path) -> None:
    if version != FORMAT_VERSION:
        raise ConfigError(f"{path} has format {version}, this software knows {FORMAT_VERSION}: install the newer pnyx")
