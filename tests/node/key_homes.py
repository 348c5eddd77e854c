"""Homes with keys, and backups of them that open with the passphrase ``horse``."""

from pathlib import Path

from node.clock import OsEntropy
from node.config import Config
from node.home import Home, init_home
from node.key_backup import Backup, load_backup, open_backup, save_backup

GENESIS = '{"chain_id": "' + "ab" * 32 + '"}\n'


def make_home(root: Path, *, passphrase: str | None = None, name: str = "anna") -> Home:
    home = init_home(root, Config(name=name), entropy=OsEntropy(), passphrase=passphrase)
    home.paths.genesis.write_text(GENESIS)
    return home


def back_up(home: Home, output: Path, *, own: str | None = None) -> Path:
    save_backup(
        home.paths.root,
        output,
        get_home_passphrase=lambda: own,
        get_passphrase=lambda: "horse",
        entropy=OsEntropy(),
    )
    return output


def open_file(path: Path, passphrase: str = "horse") -> Backup:
    return open_backup(load_backup(path), passphrase, where=str(path))
