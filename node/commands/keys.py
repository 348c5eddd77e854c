"""Commands for a member's secret keys: backup, restore, check, passphrase."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from node.commands.common import (
    DEFAULT_HOME,
    HomeOption,
    JsonOption,
    ask_passphrase,
    ask_secret,
    get_home,
    print_json,
    print_line,
    print_note,
)

if TYPE_CHECKING:
    from node.key_backup import Backup

BackupArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A backup that `pnyx key backup` wrote.")]

_NEW_PASSPHRASE_VARIABLE: Final = "PNYX_NEW_PASSPHRASE"  # noqa: S105 - the variable's name, not a passphrase


def backup(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.", dir_okay=False)],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write all that must not be lost of a home into one encrypted file; the node may run.

    The passphrase comes from PNYX_BACKUP_PASSPHRASE, or is asked for twice.
    """
    from node.clock import OsEntropy
    from node.key_backup import PASSPHRASE_VARIABLE, save_backup

    saved = save_backup(
        get_home(home),
        output,
        get_home_passphrase=ask_passphrase,
        get_passphrase=lambda: ask_secret("passphrase for the backup", variable=PASSPHRASE_VARIABLE, is_new=True),
        entropy=OsEntropy(),
    )
    _print_backup(saved, as_json=as_json)
    if not as_json:
        print_note(f"wrote {output}; keep it and its passphrase in two places, neither of them on this machine")


def restore(backup_file: BackupArgument, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Make a home of a backup; it never overwrites a key.

    The backup's passphrase comes from PNYX_BACKUP_PASSPHRASE, or is asked for. If the keys were encrypted they are
    again: with PNYX_PASSPHRASE, or else with the backup's passphrase.
    """
    from node.clock import OsEntropy
    from node.home import HomePaths
    from node.key_backup import restore_home
    from node.keys import check_no_key, get_environment_passphrase

    root = get_home(home)
    check_no_key(HomePaths(root=root).keys)
    opened, given = _open(backup_file)
    own = get_environment_passphrase()
    passphrase = own or (given if opened.content.is_encrypted else None)
    has_ledger = HomePaths(root=root).ledger.exists()
    restore_home(opened, root, passphrase=passphrase, entropy=OsEntropy())
    _print_backup(opened, as_json=as_json)
    if as_json:
        return
    sealed_by = "that of PNYX_PASSPHRASE" if own else "the backup's" if passphrase else "none"
    print_note(f"restored {root}; the passphrase of its keys: {sealed_by} (`pnyx key passphrase` changes it)")
    print_note("make sure that no other node runs with these keys, and look at the addresses in config.toml")
    if opened.content.genesis is None:
        print_note("the backup has no genesis.json: get it from any member, and compare the chain id")
    if not has_ledger:
        print_note(
            "if the lost home's ledger.db can still be read, copy it here before the first `pnyx run`; without it the"
            " node fetches the ledger, and casts no votes until none can contradict one that it has cast (C10):"
            " `pnyx status` says when, and it takes a quorum of the others"
        )


def check(backup_file: BackupArgument, as_json: JsonOption = False) -> None:
    """Open a backup and say whose it is; nothing is written."""
    opened, _ = _open(backup_file)
    _print_backup(opened, as_json=as_json)


def passphrase(
    home: HomeOption = DEFAULT_HOME,
    remove: Annotated[bool, typer.Option("--remove", help="Keep the keys without a passphrase from now on.")] = False,
) -> None:
    """Set, change or remove the passphrase of a home's keys; the node may run, it reads the keys when it starts.

    The old passphrase comes from PNYX_PASSPHRASE, the new one from PNYX_NEW_PASSPHRASE, or both are asked for.
    """
    from node.clock import OsEntropy
    from node.errors import ConfigError
    from node.home import HomePaths
    from node.keys import load_key, save_key

    keys = HomePaths(root=get_home(home)).keys
    loaded = load_key(keys, get_passphrase=ask_passphrase)
    if remove and not loaded.is_encrypted:
        raise ConfigError(f"the keys in {keys} have no passphrase: there is none to remove")
    chosen = None
    if not remove:
        chosen = ask_secret("new passphrase", variable=_NEW_PASSPHRASE_VARIABLE, is_new=True)
        if chosen is None:
            raise ConfigError(f"no new passphrase: set {_NEW_PASSPHRASE_VARIABLE} or start the command in a terminal")
    save_key(keys, loaded.seeds, entropy=OsEntropy(), passphrase=chosen)
    done = "removed" if remove else "changed" if loaded.is_encrypted else "set"
    print_note(f"{done} the passphrase of {keys}; change PNYX_PASSPHRASE where the node is started, too")


def _open(backup_file: Path) -> "tuple[Backup, str]":
    """Return a backup, and the passphrase that opened it."""
    from node.errors import ConfigError
    from node.key_backup import PASSPHRASE_VARIABLE, load_backup, open_backup

    sealed = load_backup(backup_file)
    given = ask_secret(f"passphrase of the backup of {sealed.name}", variable=PASSPHRASE_VARIABLE)
    if given is None:
        raise ConfigError(f"{backup_file} is encrypted: set {PASSPHRASE_VARIABLE} or start the command in a terminal")
    return open_backup(sealed, given, where=str(backup_file)), given


def _print_backup(opened: "Backup", *, as_json: bool) -> None:
    from node.peer_ids import member_to_peer_id

    member, chain_id = opened.keys.signing.member, opened.get_chain_id()
    if as_json:
        print_json(
            {
                "name": opened.name,
                "member": member.hex(),
                "peer_id": member_to_peer_id(member),
                "chain_id": chain_id,
                "has_run": opened.content.vote_log is not None,
            }
        )
        return
    print_line(f"member   {member.hex()}")
    print_line(f"name     {opened.name}")
    print_line(f"peer id  {member_to_peer_id(member)}")
    print_line(f"chain    {chain_id or 'none: it holds no genesis.json, or a damaged one'}")
