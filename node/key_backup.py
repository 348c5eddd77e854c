"""A member's backup: one sealed file with all that nobody else could give back.

It holds the seeds of the keys, the mark of the vote log, a founder's unrevealed part of the genesis seed, and the texts
of ``config.toml`` and ``genesis.json``, so that one command makes a home of it. Name and member stand outside the seal,
for whoever has to find the right one among several.

A backup never holds votes. So a home that is made of one always has a mark of a vote log, also if the backup is older
than the first vote: the node finds no database that belongs to it, and waits until its votes are safe (C10).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.cards import read_document
from node.config import load_config
from node.durable import raise_for_os_error, save_file
from node.errors import ConfigError
from node.genesis_file import GENESIS_TEXT_BYTES_MAX
from node.home import HomeLock, HomePaths
from node.json_documents import format_json, from_json, parse_json, to_json
from node.keys import ED25519_SEED_BYTES, GetPassphrase, NodeKeys, check_no_key, load_key, make_keys, save_key
from node.ports import Entropy
from node.sealing import Sealed, open_sealed, seal
from node.store.meta import VOTE_LOG_ID_BYTES
from protocol.cards import NAME_CHARACTERS_MAX, is_name
from protocol.units import MemberId

FORMAT_VERSION: Final = 1
FILE_BYTES_MAX: Final = 3 * GENESIS_TEXT_BYTES_MAX
"""The genesis document is most of it, and hex doubles it."""
PASSPHRASE_VARIABLE: Final = "PNYX_BACKUP_PASSPHRASE"  # noqa: S105 - the variable's name, not a passphrase

KIND: Final = "backup of a pnyx member"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedBackup:
    """A backup as the file has it: what is readable without the passphrase, and the rest."""

    kind: str = KIND
    version: int = FORMAT_VERSION
    name: str
    """The member's, for people; nothing proves it."""
    member: MemberId
    argon2id_salt: bytes
    argon2id_operations: int
    argon2id_memory_bytes: int
    sealed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupContent:
    """What is sealed; texts are those of files in a home."""

    ed25519_seed: bytes = field(repr=False)
    bls_seed: bytes = field(repr=False)
    is_encrypted: bool
    """Whether ``node.key`` asked for a passphrase."""
    vote_log: str | None
    """``keys/votelog``; None if the node had never run."""
    seed_secret: str | None = field(repr=False)
    """``keys/seed``, of a founder."""
    config: str
    genesis: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup that has been opened."""

    name: str
    """The member's, as its configuration had it."""
    keys: NodeKeys
    content: BackupContent

    def get_chain_id(self) -> str | None:
        """Return the chain id that the genesis document states, if there is a good one, of whichever version."""
        try:
            document = parse_json(self.content.genesis or "null", where="genesis.json")
        except ConfigError:
            return None
        stated = document.get("chain_id") if isinstance(document, dict) else None
        return stated if isinstance(stated, str) else None


def save_backup(
    root: Path, output: Path, *, get_home_passphrase: GetPassphrase, get_passphrase: GetPassphrase, entropy: Entropy
) -> Backup:
    """Write the backup of a home's member; its daemon may run.

    Args:
        root: The home.
        output: The file to write.
        get_home_passphrase: Called if the home's own keys are encrypted.
        get_passphrase: Gives what the backup is sealed under; called last.
        entropy: Gives salt and nonce.

    Raises:
        ConfigError: There is no such home, something in it is wrong, the file exists, or there is no passphrase.
        DiskFull: There is no space left.
    """
    _check_free(output)
    paths = HomePaths(root=root)
    name = load_config(paths.config, environment={}).name
    if not is_name(name):
        raise ConfigError(f"{paths.config}: name: 1 to {NAME_CHARACTERS_MAX} printable characters, as on the card")
    secret = load_key(paths.keys, get_passphrase=get_home_passphrase)
    content = BackupContent(
        ed25519_seed=secret.seeds[:ED25519_SEED_BYTES],
        bls_seed=secret.seeds[ED25519_SEED_BYTES:],
        is_encrypted=secret.is_encrypted,
        vote_log=_read_text(paths.vote_log_marker),
        seed_secret=_read_text(paths.seed_secret),
        config=read_document(paths.config, bytes_max=GENESIS_TEXT_BYTES_MAX),
        genesis=_read_text(paths.genesis),
    )
    passphrase = get_passphrase()
    if passphrase is None:
        raise ConfigError(f"a backup is always encrypted: set {PASSPHRASE_VARIABLE} or start the command in a terminal")
    sealed = seal(format_json(to_json(content)).encode(), passphrase, entropy=entropy)
    file = SealedBackup(
        name=name,
        member=secret.keys.signing.member,
        argon2id_salt=sealed.argon2id_salt,
        argon2id_operations=sealed.argon2id_operations,
        argon2id_memory_bytes=sealed.argon2id_memory_bytes,
        sealed=sealed.sealed,
    )
    text = format_backup(file)
    if len(text) > FILE_BYTES_MAX:
        raise ConfigError(f"{paths.genesis} is no genesis document: get it from any member, then make the backup")
    save_file(output, text.encode(), mode=0o600)
    return Backup(name=name, keys=secret.keys, content=content)


def _check_free(output: Path) -> None:
    try:
        is_there = output.exists()
    except OSError as error:
        raise_for_os_error(error, output)
    if is_there:
        raise ConfigError(f"{output} exists: a backup overwrites nothing; name another file, or move this one away")


def format_backup(file: SealedBackup) -> str:
    """Return the text of a backup's file."""
    return format_json(to_json(file))


def load_backup(path: Path) -> SealedBackup:
    """Read a backup without opening it.

    Raises:
        ConfigError: It cannot be read, is no backup, only a part of one, or one of another version.
    """
    where = str(path)
    text = read_document(path, bytes_max=FILE_BYTES_MAX)
    try:
        document = parse_json(text, where=where)
    except ConfigError as error:
        raise ConfigError(
            f"{where} is no backup of a member, or only a part of one: copy it again, as a whole"
        ) from error
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise ConfigError(f"{where} is no backup of a member: `pnyx key backup` makes one")
    version = document.get("version")
    if version != FORMAT_VERSION:
        raise ConfigError(
            f"{where} is a backup of format {version}, this software knows {FORMAT_VERSION}: open it with the pnyx that"
            " made it, or a newer one"
        )
    file = from_json(SealedBackup, document, where=where)
    if not is_name(file.name):
        raise ConfigError(f"{where}: the name is none that a member can have: it was edited, take another copy")
    return file


def open_backup(file: SealedBackup, passphrase: str, *, where: str) -> Backup:
    """Open a backup and check that it is the one that it says.

    Args:
        file: What :func:`load_backup` gave.
        passphrase: What it was sealed under.
        where: The file's name, for errors.

    Raises:
        WrongPassphrase: It does not open.
        ConfigError: It is of another member than it says.
    """
    sealed = Sealed(
        argon2id_salt=file.argon2id_salt,
        argon2id_operations=file.argon2id_operations,
        argon2id_memory_bytes=file.argon2id_memory_bytes,
        sealed=file.sealed,
    )
    text = open_sealed(sealed, passphrase, where=where).decode()
    content = from_json(BackupContent, parse_json(text, where=where), where=where)
    keys = make_keys(content.ed25519_seed + content.bls_seed, where=where)
    if keys.signing.member != file.member:
        raise ConfigError(f"{where} is not the backup of the member that it names: it was edited, take another copy")
    return Backup(name=file.name, keys=keys, content=content)


def restore_home(backup: Backup, root: Path, *, passphrase: str | None, entropy: Entropy) -> None:
    """Make a home of a backup, or give a home that has lost its keys the keys back.

    What the home has already is kept: its configuration, its genesis document if it is the same, and above all the mark
    of its vote log, which belongs to its database. The key comes last, so that a restore that was cut short can be
    repeated.

    Args:
        backup: The opened backup.
        root: The directory; created if missing.
        passphrase: What ``node.key`` will be sealed under, if anything.
        entropy: Gives salt, nonce, and the mark of a vote log that never was.

    Raises:
        ConfigError: The home has a key, or another genesis document.
        HomeLocked: A daemon runs there.
        DiskFull: There is no space left.
    """
    paths, content = HomePaths(root=root), backup.content
    try:
        check_no_key(paths.keys)
        root.mkdir(mode=0o755, parents=True, exist_ok=True)
        with HomeLock(paths):
            _restore(paths, content, passphrase=passphrase, entropy=entropy)
    except OSError as error:
        raise_for_os_error(error, root)


def _restore(paths: HomePaths, content: BackupContent, *, passphrase: str | None, entropy: Entropy) -> None:
    genesis = _read_text(paths.genesis)
    if genesis is not None and content.genesis is not None and genesis != content.genesis:
        raise ConfigError(f"{paths.genesis} is another one than in the backup: move it away, or name another home")
    paths.keys.mkdir(mode=0o700, exist_ok=True)
    paths.keys.chmod(0o700)
    mark = content.vote_log or f"{entropy.get_bytes(VOTE_LOG_ID_BYTES).hex()}\n"
    _save_missing(paths.vote_log_marker, mark, mode=0o600)
    _save_missing(paths.seed_secret, content.seed_secret, mode=0o600)
    _save_missing(paths.genesis, content.genesis)
    _save_missing(paths.config, content.config)
    save_key(paths.keys, content.ed25519_seed + content.bls_seed, entropy=entropy, passphrase=passphrase)


def _save_missing(path: Path, text: str | None, *, mode: int = 0o644) -> None:
    if text is not None and not path.exists():
        save_file(path, text.encode(), mode=mode)


def _read_text(path: Path) -> str | None:
    return read_document(path, bytes_max=GENESIS_TEXT_BYTES_MAX) if path.exists() else None
