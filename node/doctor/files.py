"""Checks of the home: whose files these are, and whether configuration, keys, genesis document and ledger are right.

Everything is opened by the loaders that the daemon itself uses, so what they say is what it would say.
"""

import os
import pwd
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from node.config import Config, load_config
from node.config_keys import Attack
from node.doctor.findings import Finding, fail, ok, warn
from node.durable import explain_os_error
from node.errors import ConfigError, NodeError
from node.genesis_file import load_genesis
from node.home import Home, HomePaths
from node.keys import GetPassphrase, NodeKeys, load_keys
from node.store.checkup import compute_copy_bytes, load_copy
from node.store.database import SCHEMA_VERSION
from protocol.chunks import ArtifactHasher
from protocol.genesis import Genesis, compute_chain_id
from protocol.ledger.state import LedgerState
from protocol.units import Digest

READ_BYTES: Final = 1 << 20

_Loaded = TypeVar("_Loaded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A file or directory that a daemon writes."""

    path: Path
    owner: int
    mode: int
    is_writable: bool
    """By whoever runs the checks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Whose files these are."""

    root: Path
    found: tuple[Place, ...]
    """The home itself first; empty if there is none."""
    user: int
    """Who runs the checks."""
    is_mounted_read_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What the home holds; what cannot be read is the error that a start would end with."""

    config: Config | NodeError
    keys: NodeKeys | NodeError
    lacks_passphrase: bool
    """Whether the keys are encrypted and nobody was there to give the passphrase."""
    genesis: Genesis | NodeError
    model_digest: Digest | NodeError | None
    """Of the initial model in the home, if it is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFacts:
    """What the ledger of a stopped node is like, or that there is none: then ``copy_bytes`` is 0."""

    state: LedgerState | NodeError | None
    """As a start would find it; None if there is no database, or it could not be looked at."""
    copy_bytes: int
    """How much room a copy takes."""


def attempt(load: Callable[[], _Loaded], path: Path) -> _Loaded | NodeError:
    """Return what a loader gives, or the error that it ends with."""
    try:
        return load()
    except NodeError as error:
        return error
    except OSError as error:
        return explain_os_error(error, path)


def gather_places(paths: HomePaths) -> Places:
    """Look at what a daemon writes in a home; the rest may as well belong to somebody else."""
    if not paths.root.is_dir():
        return Places(root=paths.root, found=(), user=os.geteuid(), is_mounted_read_only=False)
    logs = (paths.ledger.with_name(paths.ledger.name + end) for end in ("-wal", "-shm"))
    written = (paths.root, paths.keys, paths.vote_log_marker, paths.lock, paths.artifacts, paths.ledger, *logs)
    return Places(
        root=paths.root,
        found=tuple(place for path in written if (place := _look_at(path)) is not None),
        user=os.geteuid(),
        is_mounted_read_only=bool(os.statvfs(paths.root).f_flag & os.ST_RDONLY),
    )


def _look_at(path: Path) -> Place | None:
    try:
        about = path.stat()
    except OSError:
        # It is not there yet, or what it lies in may not be entered, which shows by itself.
        return None
    return Place(
        path=path, owner=about.st_uid, mode=stat.S_IMODE(about.st_mode), is_writable=os.access(path, os.W_OK)
    )


def check_places(places: Places) -> Finding:
    """Check that the home is there, and that one user owns it all and can write it."""
    if not places.found:
        return fail("home", f"there is no {places.root}: make a home with `pnyx init`, or name another one with --home")
    root = places.found[0]
    if places.is_mounted_read_only:
        return fail("home", f"{places.root} is on a file system that is mounted read-only: mount it for writing")
    strange = [place.path for place in places.found if place.owner != root.owner]
    if strange:
        owner = _name_user(root.owner)
        return fail(
            "home",
            f"{_join(strange)} not of {owner}, who owns {places.root}, so a daemon of {owner} may not write there: run"
            f" `chown -R {owner} {places.root}`",
        )
    locked = [place.path for place in places.found if not place.is_writable]
    if locked:
        return fail(
            "home",
            f"{_join(locked)} not for {_name_user(places.user)} to write: run as the owner,"
            f" {_name_user(root.owner)}, or let the owner write (`chmod -R u+w {places.root}`)",
        )
    if root.owner != places.user:
        owner = _name_user(root.owner)
        return warn(
            "home",
            f"{places.root} belongs to {owner}, and you are {_name_user(places.user)}: run this as {owner}, as you run"
            " the daemon",
        )
    if root.mode & 0o022:
        return warn("home", f"others may write in {places.root}: run `chmod go-w {places.root}`")
    return ok("home", f"{places.root} can be written, all of it by {_name_user(root.owner)}")


def _join(paths: list[Path]) -> str:
    shown = ", ".join(map(str, paths[:3]))
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return f"{shown}{more} {'are' if len(paths) > 1 else 'is'}"


def _name_user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def gather_contents(paths: HomePaths, get_passphrase: GetPassphrase) -> Contents:
    """Read what a start would read."""
    unanswered: list[bool] = []

    def ask() -> str | None:
        passphrase = get_passphrase()
        if passphrase is None:
            unanswered.append(True)
        return passphrase

    config = attempt(lambda: load_config(paths.config), paths.config)
    keys = attempt(lambda: load_keys(paths.keys, get_passphrase=ask), paths.keys)
    return Contents(
        config=config,
        keys=keys,
        lacks_passphrase=bool(unanswered),
        genesis=attempt(lambda: _load_genesis(paths, config, keys), paths.genesis),
        model_digest=attempt(lambda: _hash_file(paths.model), paths.model) if paths.model.exists() else None,
    )


def _load_genesis(paths: HomePaths, config: Config | NodeError, keys: NodeKeys | NodeError) -> Genesis:
    """Load the document as the daemon does, or without what needs the keys if these cannot be read."""
    if isinstance(config, NodeError) or isinstance(keys, NodeError):
        if not paths.genesis.is_file():
            raise ConfigError(f"there is no {paths.genesis}: get the genesis.json of the network from a member")
        return load_genesis(paths.genesis)
    return Home(paths=paths, config=config, keys=keys).load_genesis()


def _hash_file(path: Path) -> Digest:
    hasher = ArtifactHasher()
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            hasher.update(chunk)
    return hasher.finish()[0]


def check_config(contents: Contents) -> Finding:
    """Check the settings."""
    config = contents.config
    if isinstance(config, NodeError):
        return fail("config", str(config))
    if config.attack is not Attack.NONE or config.invert_ballots:
        return warn("config", "config.toml makes this member cheat (attack, invert_ballots): this is for experiments")
    return ok("config", f"config.toml is valid; this member is called {config.name}")


def check_keys(contents: Contents) -> Finding:
    """Check that the keys can be opened."""
    keys = contents.keys
    if not isinstance(keys, NodeError):
        return ok("keys", f"the keys of member {keys.signing.member.hex()[:8]} open")
    return warn("keys", f"not checked: {keys}") if contents.lacks_passphrase else fail("keys", str(keys))


def check_genesis(paths: HomePaths, contents: Contents) -> Finding:
    """Check the founding document, and that the model beside it is its own."""
    genesis, digest = contents.genesis, contents.model_digest
    if isinstance(genesis, NodeError):
        return fail("genesis", str(genesis))
    if isinstance(digest, NodeError):
        return fail("genesis", str(digest))
    if digest is not None and digest != genesis.model_digest:
        return fail(
            "genesis",
            f"{paths.model} is not the initial model of {paths.genesis}: copy both from the same place, or remove the"
            " model; it is then fetched from the members",
        )
    chain = compute_chain_id(genesis).hex()[:8]
    network = f"network {genesis.name}, chain {chain}, {len(genesis.founders)} founders"
    return ok("genesis", f"genesis.json is that of {network}")


def gather_ledger(paths: HomePaths, genesis: Genesis | NodeError, *, room_bytes: int) -> LedgerFacts:
    """Read the ledger of a stopped node as a start would, from a copy in the directory for temporary files."""
    if not paths.ledger.exists():
        return LedgerFacts(state=None, copy_bytes=0)
    copy_bytes = compute_copy_bytes(paths.ledger)
    if isinstance(genesis, NodeError) or copy_bytes >= room_bytes:
        return LedgerFacts(state=None, copy_bytes=copy_bytes)
    with tempfile.TemporaryDirectory(prefix="pnyx-doctor-") as folder:
        state = attempt(lambda: load_copy(paths.ledger, genesis, folder=Path(folder)), paths.ledger)
    return LedgerFacts(state=state, copy_bytes=copy_bytes)


def check_ledger(facts: LedgerFacts) -> Finding:
    """Check that a start would find its ledger intact, and of this software's format."""
    if facts.copy_bytes == 0:
        return ok("ledger", "there is no ledger.db yet: a start makes one, and fetches the blocks from the members")
    if isinstance(facts.state, NodeError):
        return fail("ledger", str(facts.state))
    if facts.state is None:
        return warn(
            "ledger",
            f"ledger.db was not checked: it takes genesis.json, and {max(facts.copy_bytes >> 20, 1)} MB for a copy;"
            " name a directory with so much room in TMPDIR",
        )
    return ok("ledger", f"ledger.db is intact at height {facts.state.height}, of format {SCHEMA_VERSION}")
