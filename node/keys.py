"""A member's secret keys on disk: mode 0600, encrypted when a passphrase is given.

The file holds two seeds: Ed25519 (the member's identity, L1) and BLS (beacon). With a passphrase they are sealed by
XSalsa20-Poly1305 under a key that Argon2id derives (libsodium's "moderate" costs). Everything else that must stay
secret is derived from these, so that nothing but this file has to be kept.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import nacl.exceptions
import nacl.pwhash.argon2id
import nacl.secret

from node.durable import save_file
from node.errors import ConfigError
from node.json_documents import format_json, from_json, parse_json, to_json
from node.ports import Entropy
from protocol.bls import BlsSigningKey
from protocol.crypto import SigningKey

KEY_FILE_NAME: Final = "node.key"
PASSPHRASE_VARIABLE: Final = "PNYX_PASSPHRASE"  # noqa: S105 - the variable's name, not a passphrase
FORMAT_VERSION: Final = 1
ED25519_SEED_BYTES: Final = 32
BLS_SEED_BYTES: Final = 48

_SECRET_BYTES: Final = ED25519_SEED_BYTES + BLS_SEED_BYTES

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


def create_keys(directory: Path, *, entropy: Entropy, passphrase: str | None) -> NodeKeys:
    """Make new keys and save them.

    Args:
        directory: Where ``node.key`` goes; created with mode 0700.
        entropy: Gives the seeds.
        passphrase: Encrypts the file; None leaves that to the disk.

    Raises:
        ConfigError: There is a key file already, or the passphrase is empty.
    """
    path = directory / KEY_FILE_NAME
    if path.exists():
        raise ConfigError(f"{path} exists: a key is never overwritten; move it away if it is really no longer needed")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    secret = entropy.get_bytes(_SECRET_BYTES)
    save_file(path, _encode_file(secret, passphrase, entropy).encode(), mode=0o600)
    return _make_keys(secret)


def load_keys(directory: Path, *, get_passphrase: GetPassphrase | None = None) -> NodeKeys:
    """Load the keys of a node.

    Args:
        directory: The home's ``keys``.
        get_passphrase: Called only if the file is encrypted; None reads ``PNYX_PASSPHRASE`` alone.

    Raises:
        ConfigError: No key, readable by others, damaged, or a wrong passphrase.
    """
    path = directory / KEY_FILE_NAME
    if not path.is_file():
        raise ConfigError(
            f"there is no key at {path}: make a home with `pnyx init`, or put the backup of the key there"
        )
    for place in (directory, path):
        check_private(place)
    document = parse_json(path.read_text(encoding="utf-8"), where=str(path))
    is_sealed = isinstance(document, dict) and "sealed" in document
    if not is_sealed:
        plain = from_json(_PlainFile, document, where=str(path))
        _check_version(plain.version, path)
        return _make_keys_checked(plain.ed25519_seed + plain.bls_seed, path)
    sealed = from_json(_SealedFile, document, where=str(path))
    _check_version(sealed.version, path)
    passphrase = (get_passphrase or get_environment_passphrase)()
    if not passphrase:
        raise ConfigError(f"{path} is encrypted: set {PASSPHRASE_VARIABLE} or start the command in a terminal")
    return _make_keys_checked(_open_sealed(sealed, passphrase, path), path)


def get_environment_passphrase(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the passphrase that the environment gives, if any."""
    return environment.get(PASSPHRASE_VARIABLE) or None


def check_private(path: Path) -> None:
    """Check that nobody but the owner can read a file or directory.

    Raises:
        ConfigError: Somebody else can.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        wanted = "700" if path.is_dir() else "600"
        raise ConfigError(f"{path} is open to other users (mode {mode:03o}): run `chmod {wanted} {path}`")


def _encode_file(secret: bytes, passphrase: str | None, entropy: Entropy) -> str:
    if passphrase is None:
        plain = _PlainFile(
            version=FORMAT_VERSION,
            ed25519_seed=secret[:ED25519_SEED_BYTES],
            bls_seed=secret[ED25519_SEED_BYTES:],
        )
        return format_json(to_json(plain))
    if not passphrase:
        raise ConfigError("the passphrase is empty: give a longer one, or none")
    salt = entropy.get_bytes(nacl.pwhash.argon2id.SALTBYTES)
    operations = nacl.pwhash.argon2id.OPSLIMIT_MODERATE
    memory_bytes = nacl.pwhash.argon2id.MEMLIMIT_MODERATE
    box = nacl.secret.SecretBox(_derive(passphrase, salt, operations, memory_bytes))
    nonce = entropy.get_bytes(nacl.secret.SecretBox.NONCE_SIZE)
    return format_json(
        to_json(
            _SealedFile(
                version=FORMAT_VERSION,
                argon2id_salt=salt,
                argon2id_operations=operations,
                argon2id_memory_bytes=memory_bytes,
                sealed=bytes(box.encrypt(secret, nonce)),
            )
        )
    )


def _open_sealed(sealed: _SealedFile, passphrase: str, path: Path) -> bytes:
    try:
        key = _derive(passphrase, sealed.argon2id_salt, sealed.argon2id_operations, sealed.argon2id_memory_bytes)
        return bytes(nacl.secret.SecretBox(key).decrypt(sealed.sealed))
    except (nacl.exceptions.CryptoError, ValueError) as error:
        raise ConfigError(f"{path} does not open with this passphrase: it is wrong, or the file is damaged") from error


def _derive(passphrase: str, salt: bytes, operations: int, memory_bytes: int) -> bytes:
    return bytes(
        nacl.pwhash.argon2id.kdf(
            nacl.secret.SecretBox.KEY_SIZE, passphrase.encode(), salt, opslimit=operations, memlimit=memory_bytes
        )
    )


def _make_keys_checked(secret: bytes, path: Path) -> NodeKeys:
    if len(secret) != _SECRET_BYTES:
        raise ConfigError(
            f"{path} holds {len(secret)} secret bytes, not {_SECRET_BYTES}: put the backup of the key there"
        )
    return _make_keys(secret)


def _make_keys(secret: bytes) -> NodeKeys:
    seed, bls_seed = secret[:ED25519_SEED_BYTES], secret[ED25519_SEED_BYTES:]
    return NodeKeys(
        seed=seed,
        signing=SigningKey(seed),
        bls=BlsSigningKey(bls_seed),
        salt_secret=hashlib.blake2b(key=secret[:64], digest_size=32, person=b"pnyx/1/salt").digest(),
    )


def _check_version(version: int, path: Path) -> None:
    if version != FORMAT_VERSION:
        raise ConfigError(f"{path} has format {version}, this software knows {FORMAT_VERSION}: install the newer pnyx")
