"""Seals secrets for the disk under a passphrase: Argon2id (RFC 9106) and XSalsa20-Poly1305, both libsodium's.

The costs of the derivation are written beside what they sealed, so that raising them later leaves old files readable. A
file names its own costs, so they are bounded before anything is derived.
"""

from dataclasses import dataclass
from typing import Final

import nacl.exceptions
import nacl.pwhash.argon2id
import nacl.secret

from node.errors import ConfigError
from node.ports import Entropy


class WrongPassphrase(ConfigError):
    """What was sealed does not open: the passphrase is wrong, or the bytes are damaged; nothing can tell which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """Sealed bytes with all that it takes to open them, but the passphrase."""

    argon2id_salt: bytes
    argon2id_operations: int
    argon2id_memory_bytes: int
    sealed: bytes


_OPERATIONS_MAX: Final = nacl.pwhash.argon2id.OPSLIMIT_SENSITIVE
_MEMORY_BYTES_MAX: Final = nacl.pwhash.argon2id.MEMLIMIT_SENSITIVE


def seal(secret: bytes, passphrase: str, *, entropy: Entropy) -> Sealed:
    """Seal bytes under a passphrase, at libsodium's "moderate" costs.

    Raises:
        ConfigError: The passphrase is empty.
    """
    if not passphrase:
        raise ConfigError("the passphrase is empty: give a longer one, or none")
    salt = entropy.get_bytes(nacl.pwhash.argon2id.SALTBYTES)
    operations = nacl.pwhash.argon2id.OPSLIMIT_MODERATE
    memory_bytes = nacl.pwhash.argon2id.MEMLIMIT_MODERATE
    box = nacl.secret.SecretBox(_derive(passphrase, salt, operations, memory_bytes))
    return Sealed(
        argon2id_salt=salt,
        argon2id_operations=operations,
        argon2id_memory_bytes=memory_bytes,
        sealed=bytes(box.encrypt(secret, entropy.get_bytes(nacl.secret.SecretBox.NONCE_SIZE))),
    )


def open_sealed(sealed: Sealed, passphrase: str, *, where: str) -> bytes:
    """Return what was sealed.

    Args:
        sealed: As :func:`seal` made it.
        passphrase: The one that it was sealed under.
        where: The file, for errors.

    Raises:
        WrongPassphrase: It does not open.
    """
    try:
        if sealed.argon2id_operations > _OPERATIONS_MAX or sealed.argon2id_memory_bytes > _MEMORY_BYTES_MAX:
            raise ValueError("costs that no version of this software has used")
        key = _derive(passphrase, sealed.argon2id_salt, sealed.argon2id_operations, sealed.argon2id_memory_bytes)
        return bytes(nacl.secret.SecretBox(key).decrypt(sealed.sealed))
    except (nacl.exceptions.CryptoError, ValueError) as error:
        raise WrongPassphrase(
            f"{where} does not open with this passphrase: it is wrong, or the file is damaged"
        ) from error


def _derive(passphrase: str, salt: bytes, operations: int, memory_bytes: int) -> bytes:
    # The environment may hold bytes that are no UTF-8; Python keeps them as surrogates.
    secret = passphrase.encode(errors="surrogateescape")
    return bytes(
        nacl.pwhash.argon2id.kdf(
            nacl.secret.SecretBox.KEY_SIZE, secret, salt, opslimit=operations, memlimit=memory_bytes
        )
    )
