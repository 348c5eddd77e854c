"""A node's home: the one directory with everything that it keeps (architecture, "State on disk").

``keys/`` and ``genesis.json`` are what must not be lost; the rest the node rebuilds from the other members.
"""

import fcntl
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from node.cards import Card, make_card
from node.config import CONFIG_FILE_NAME, Config, format_config, load_config
from node.durable import raise_for_os_error, save_file
from node.errors import ConfigError, HomeLocked
from node.genesis_file import GENESIS_FILE_NAME, load_genesis
from node.keys import GetPassphrase, NodeKeys, create_keys, load_keys
from node.ports import Entropy
from protocol.genesis import Genesis

HOME_VARIABLE: Final = "PNYX_HOME"


@dataclass(frozen=True, slots=True, kw_only=True)
class HomePaths:
    """Where things are in a home."""

    root: Path
    config: Path = field(init=False)
    genesis: Path = field(init=False)
    model: Path = field(init=False)
    """The initial model as ``genesis create`` wrote it; optional, the other members have it too."""
    keys: Path = field(init=False)
    seed_secret: Path = field(init=False)
    """A founder's part of the genesis seed, until it is revealed."""
    vote_log_marker: Path = field(init=False)
    """Names the vote log that belongs to the keys (C10)."""
    ledger: Path = field(init=False)
    artifacts: Path = field(init=False)
    lock: Path = field(init=False)
    control_socket: Path = field(init=False)

    def __post_init__(self) -> None:
        """Derive every path from the root."""
        for name, relative in _LAYOUT.items():
            object.__setattr__(self, name, self.root / relative)


_LAYOUT: Final = {
    "config": CONFIG_FILE_NAME,
    "genesis": GENESIS_FILE_NAME,
    "model": "genesis.model",
    "keys": "keys",
    "seed_secret": "keys/seed",
    "vote_log_marker": "keys/votelog",
    "ledger": "ledger.db",
    "artifacts": "artifacts",
    "lock": "lock",
    "control_socket": "control.sock",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """An opened home."""

    paths: HomePaths
    config: Config
    keys: NodeKeys

    def make_card(self) -> Card:
        """Return this member's card; its addresses are those announced, or else those listened on."""
        addresses = self.config.announce or self.config.listen
        return make_card(self.keys, name=self.config.name, addresses=addresses)

    def load_genesis(self) -> Genesis:
        """Return the home's genesis document; who is no founder in it is, or becomes, a member by the ledger (L9).

        Raises:
            ConfigError: There is none, it is wrong, or this node is in it with another BLS key.
        """
        if not self.paths.genesis.is_file():
            raise ConfigError(
                f"there is no {self.paths.genesis}: copy there the genesis.json that the founders agreed on"
                " (`pnyx genesis create` makes one)"
            )
        genesis = load_genesis(self.paths.genesis)
        member = self.keys.signing.member
        founder = next((founder for founder in genesis.founders if founder.member == member), None)
        if founder is not None and founder.bls_key != self.keys.bls.public_key:
            raise ConfigError(f"{self.paths.genesis} names another BLS key for {founder.name} than this home has")
        return genesis


def init_home(root: Path, config: Config, *, entropy: Entropy, passphrase: str | None = None) -> Home:
    """Make a new home: keys and configuration.

    Args:
        root: The directory; created if missing.
        config: What ``config.toml`` will say.
        entropy: Gives the keys.
        passphrase: Encrypts the keys; None leaves that to the disk.

    Raises:
        ConfigError: There is a home already.
        DiskFull: There is no space left.
        DiskFailed: The directory is not ours to write.
    """
    paths = HomePaths(root=root)
    try:
        if paths.config.exists() or paths.keys.exists():
            raise ConfigError(f"{root} is a home already: choose another directory, or use this one as it is")
        root.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise_for_os_error(error, root)
    keys = create_keys(paths.keys, entropy=entropy, passphrase=passphrase)
    # The configuration comes last: a home without it was not finished, and `pnyx run` says so.
    save_file(paths.config, format_config(config).encode())
    return Home(paths=paths, config=config, keys=keys)


def load_home(
    root: Path, *, get_passphrase: GetPassphrase | None = None, environment: Mapping[str, str] = os.environ
) -> Home:
    """Open a home: read its configuration and keys.

    Args:
        root: The directory.
        get_passphrase: Called if the keys are encrypted; None reads ``PNYX_PASSPHRASE`` alone.
        environment: Variables that override the configuration.

    Raises:
        ConfigError: No home, or something in it is wrong; the message names it.
    """
    paths = HomePaths(root=root)
    config = load_config(paths.config, environment=environment)
    return Home(paths=paths, config=config, keys=load_keys(paths.keys, get_passphrase=get_passphrase))


class HomeLock:
    """Keeps a second daemon from using a home; a context manager. The kernel releases it when the process ends."""

    def __init__(self, paths: HomePaths) -> None:
        """Take the lock.

        Raises:
            HomeLocked: Another process has it.
            DiskFailed: The home cannot be written.
        """
        try:
            self._descriptor = os.open(paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise_for_os_error(error, paths.lock)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise HomeLocked(
                f"process {holder} already runs on {paths.root}: stop it first, or use another home"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def __enter__(self) -> Self:
        """Return the lock, which is held already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release the lock."""
        self.close()

    def close(self) -> None:
        """Release the lock; the file stays, since removing it would let two processes lock two files."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
