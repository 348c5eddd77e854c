"""A member's backup, and a passphrase that comes later: nothing is lost, nothing overwritten, nothing double-signed."""

import json
import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from node.clock import OsEntropy
from node.config import Config
from node.errors import ConfigError, DiskFailed, HomeLocked
from node.genesis_file import GENESIS_TEXT_BYTES_MAX
from node.home import Home, HomeLock, HomePaths, init_home, load_home
from node.key_backup import Backup, format_backup, load_backup, open_backup, restore_home, save_backup
from node.sealing import WrongPassphrase
from node.store.sqlite import SqliteStore
from tests.founders import make_founders
from tests.helpers import LedgerBuilder
from tests.node.conftest import Invoke

pytestmark = pytest.mark.usefixtures("cheap_passphrases")

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


def restore(path: Path, root: Path, *, passphrase: str | None = None) -> HomePaths:
    restore_home(open_file(path), root, passphrase=passphrase, entropy=OsEntropy())
    return HomePaths(root=root)


def open_store(home: Home, builder: LedgerBuilder) -> SqliteStore:
    return SqliteStore(
        home.paths.ledger,
        genesis=builder.genesis,
        member=builder.founders[0].member,
        marker=home.paths.vote_log_marker,
        entropy=OsEntropy(),
    )


def may_vote(root: Path, builder: LedgerBuilder) -> bool:
    """Open the database of a home as a daemon does, and return whether all votes are remembered."""
    store = open_store(load_home(root, environment={}), builder)
    try:
        return store.load().has_vote_log
    finally:
        store.close()


@pytest.fixture
def builder() -> LedgerBuilder:
    return LedgerBuilder(make_founders(4))


def test_a_restored_home_has_the_keys_and_all_that_would_have_to_be_asked_for(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    home.paths.seed_secret.write_text("a founder's part")
    restored = restore(back_up(home, tmp_path / "backup"), tmp_path / "restored")
    opened = load_home(tmp_path / "restored", environment={})
    assert opened.keys.seed == home.keys.seed
    assert opened.keys.bls.public_key == home.keys.bls.public_key
    assert opened.config == home.config
    assert restored.config.read_text() == home.paths.config.read_text()
    assert (restored.genesis.read_text(), restored.seed_secret.read_text()) == (GENESIS, "a founder's part")


def test_only_the_owner_can_read_a_backup_and_what_comes_of_it(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    home.paths.seed_secret.write_text("a founder's part")
    backup = back_up(home, tmp_path / "backup")
    restored = restore(backup, tmp_path / "restored")
    secrets = (backup, *restored.keys.iterdir())
    assert len(secrets) == 4
    assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}
    assert restored.keys.stat().st_mode & 0o777 == 0o700


def test_a_backup_shows_whose_it_is_and_nothing_secret(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    text = back_up(home, tmp_path / "backup").read_text()
    document = json.loads(text)
    assert (document["name"], document["member"]) == ("anna", home.keys.signing.member.hex())
    assert home.keys.seed.hex() not in text
    assert home.keys.seed.hex() not in repr(open_file(tmp_path / "backup"))


def test_a_restored_home_has_no_votes_and_knows_it(tmp_path: Path, builder: LedgerBuilder) -> None:
    """C10."""
    home = make_home(tmp_path / "home")
    assert may_vote(home.paths.root, builder)
    backup = back_up(home, tmp_path / "backup")
    restore(backup, tmp_path / "restored")
    assert not may_vote(tmp_path / "restored", builder)


def test_a_backup_that_is_older_than_the_first_vote_is_no_way_to_vote_twice(
    tmp_path: Path, builder: LedgerBuilder
) -> None:
    """C10: it holds no mark of a vote log, and the home gets one that no database has."""
    home = make_home(tmp_path / "home")
    backup = back_up(home, tmp_path / "backup")
    assert open_file(backup).content.vote_log is None
    assert may_vote(home.paths.root, builder)
    restore(backup, tmp_path / "restored")
    assert not may_vote(tmp_path / "restored", builder)


@pytest.mark.parametrize("lost", [("node.key",), ("node.key", "votelog")])
def test_keys_that_come_back_to_their_database_need_not_wait(
    tmp_path: Path, builder: LedgerBuilder, lost: tuple[str, ...]
) -> None:
    """C10: the mark names the database that is there, whose votes the others are asked about all the same."""
    home = make_home(tmp_path / "home")
    assert may_vote(home.paths.root, builder)
    backup = back_up(home, tmp_path / "backup")
    for name in lost:
        (home.paths.keys / name).unlink()
    restore(backup, home.paths.root)
    assert may_vote(home.paths.root, builder)


def test_keys_that_come_to_a_database_of_another_vote_log_wait(tmp_path: Path, builder: LedgerBuilder) -> None:
    """C10: the database was made anew after the backup, and the mark went with the keys."""
    home = make_home(tmp_path / "home")
    may_vote(home.paths.root, builder)
    backup = back_up(home, tmp_path / "backup")
    home.paths.vote_log_marker.unlink()
    home.paths.ledger.unlink()
    may_vote(home.paths.root, builder)
    (home.paths.keys / "node.key").unlink()
    home.paths.vote_log_marker.unlink()
    restore(backup, home.paths.root)
    assert not may_vote(home.paths.root, builder)


def test_a_restore_never_overwrites_a_key(tmp_path: Path) -> None:
    backup = back_up(make_home(tmp_path / "home"), tmp_path / "backup")
    other = make_home(tmp_path / "other", name="bert")
    with pytest.raises(ConfigError, match="never overwritten"):
        restore(backup, other.paths.root)
    assert load_home(other.paths.root, environment={}).keys.seed == other.keys.seed
    assert not other.paths.vote_log_marker.exists()


def test_a_restore_keeps_settings_that_are_there_and_refuses_another_networks_home(tmp_path: Path) -> None:
    backup = back_up(make_home(tmp_path / "home"), tmp_path / "backup")
    root = tmp_path / "prepared"
    root.mkdir()
    (root / "config.toml").write_text('name = "anna"\nlisten = ["/ip4/0.0.0.0/tcp/4002"]\n')
    (root / "genesis.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"genesis\.json is another one than in the backup"):
        restore(backup, root)
    assert not (root / "keys").exists()
    (root / "genesis.json").unlink()
    restore(backup, root)
    assert load_home(root, environment={}).config.listen == ("/ip4/0.0.0.0/tcp/4002",)


def test_a_restore_that_was_cut_short_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backup = back_up(make_home(tmp_path / "home"), tmp_path / "backup")

    def fail(*_: object, **__: object) -> None:
        raise DiskFailed("the disk failed")

    with monkeypatch.context() as cut:
        cut.setattr("node.key_backup.save_key", fail)
        with pytest.raises(DiskFailed):
            restore(backup, tmp_path / "restored")
    mark = (tmp_path / "restored/keys/votelog").read_text()
    with pytest.raises(ConfigError, match="pnyx key restore"):
        load_home(tmp_path / "restored", environment={})
    restored = restore(backup, tmp_path / "restored")
    assert restored.vote_log_marker.read_text() == mark
    assert load_home(tmp_path / "restored", environment={}).config.name == "anna"


def test_nothing_is_restored_under_a_running_daemon(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    backup = back_up(home, tmp_path / "backup")
    (home.paths.keys / "node.key").unlink()
    with HomeLock(home.paths), pytest.raises(HomeLocked):
        restore(backup, home.paths.root)


def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    (tmp_path / "backup").write_text("somebody's")
    with pytest.raises(ConfigError, match="overwrites nothing"):
        back_up(home, tmp_path / "backup")
    assert (tmp_path / "backup").read_text() == "somebody's"


def test_a_backup_that_would_be_too_large_to_open_is_not_made(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    home.paths.genesis.write_text("\n" * GENESIS_TEXT_BYTES_MAX)
    with pytest.raises(ConfigError, match=r"genesis\.json is no genesis document"):
        back_up(home, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "or only a part of one: copy it again"),
        (b'{"kind": "backup of a pnyx member", "version": 1, "na', "or only a part of one: copy it again"),
        (b"\xff\x00", "is no UTF-8 text"),
        (b"[]", "is no backup of a member"),
        (b'{"version": 1, "ed25519_seed": "00", "bls_seed": "00"}', "is no backup of a member"),
        (b'{"kind": "backup of a pnyx member", "version": 2}', "format 2, this software knows 1"),
        (b'{"kind": "backup of a pnyx member", "version": 1}', "the key 'name' is missing"),
    ],
)
def test_what_is_no_backup_says_so(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "backup").write_bytes(content)
    with pytest.raises(ConfigError, match=message) as refused:
        load_backup(tmp_path / "backup")
    assert "\n" not in str(refused.value)


def test_a_wrong_passphrase_and_a_damaged_seal_are_refused(tmp_path: Path) -> None:
    path = back_up(make_home(tmp_path / "home"), tmp_path / "backup")
    file = load_backup(path)
    flipped = bytes([file.sealed[0] ^ 1, *file.sealed[1:]])
    for wrong, passphrase in (
        (file, "hors"),
        (file, ""),
        (replace(file, sealed=flipped), "horse"),
        (replace(file, sealed=b""), "horse"),
        (replace(file, argon2id_salt=b"short"), "horse"),
        (replace(file, argon2id_memory_bytes=1 << 40), "horse"),
        (replace(file, argon2id_operations=1 << 30), "horse"),
    ):
        with pytest.raises(WrongPassphrase, match="does not open with this passphrase"):
            open_backup(wrong, passphrase, where="backup")


def test_a_backup_under_another_members_name_is_refused(tmp_path: Path) -> None:
    path = back_up(make_home(tmp_path / "home"), tmp_path / "backup")
    other = make_home(tmp_path / "other")
    edited = replace(load_backup(path), member=other.keys.signing.member)
    with pytest.raises(ConfigError, match="not the backup of the member that it names"):
        open_backup(edited, "horse", where="backup")
    path.write_text(format_backup(replace(edited, name="\x1b[2J")))
    with pytest.raises(ConfigError, match="the name is none that a member can have"):
        load_backup(path)


def test_a_backup_is_made_opened_and_restored_on_the_command_line(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home(tmp_path / "home", passphrase="cow")
    arguments = ("key", "backup", "-o", str(tmp_path / "backup"), "--home", str(home.paths.root))
    code, out, err = invoke(*arguments)
    assert (code, out, err.count("\n")) == (64, "", 1)
    assert "set PNYX_PASSPHRASE" in err
    monkeypatch.setenv("PNYX_PASSPHRASE", "cow")
    code, out, err = invoke(*arguments)
    assert (code, out, err.count("\n")) == (64, "", 1)
    assert "a backup is always encrypted: set PNYX_BACKUP_PASSPHRASE" in err

    monkeypatch.setenv("PNYX_BACKUP_PASSPHRASE", "horse")
    code, backed_up, err = invoke(*arguments)
    assert (code, err.count("\n")) == (0, 1)
    assert backed_up.startswith(f"member   {home.keys.signing.member.hex()}\nname     anna\n")
    assert backed_up.endswith(f"chain    {'ab' * 32}\n")
    before = sorted(tmp_path.rglob("*"))
    assert invoke("key", "check", str(tmp_path / "backup")) == (0, backed_up, "")
    assert sorted(tmp_path.rglob("*")) == before

    monkeypatch.delenv("PNYX_PASSPHRASE")
    code, restored, err = invoke("key", "restore", str(tmp_path / "backup"), "--home", str(tmp_path / "restored"))
    assert (code, restored) == (0, backed_up)
    assert "the passphrase of its keys: the backup's" in err
    assert "casts no votes at first" in err
    code, _, err = invoke("key", "restore", str(tmp_path / "backup"), "--home", str(tmp_path / "restored"))
    assert (code, err.count("\n")) == (64, 1)
    with pytest.raises(WrongPassphrase):
        load_home(tmp_path / "restored", environment={}, get_passphrase=lambda: "cow")
    opened = load_home(tmp_path / "restored", environment={}, get_passphrase=lambda: "horse")
    assert opened.keys.seed == home.keys.seed


def test_a_passphrase_is_set_changed_and_removed(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home(tmp_path / "home")
    arguments = ("key", "passphrase", "--home", str(home.paths.root))

    def can_open(passphrase: str | None) -> bool:
        try:
            opened = load_home(home.paths.root, environment={}, get_passphrase=lambda: passphrase)
        except ConfigError:
            return False
        return opened.keys.seed == home.keys.seed

    code, out, err = invoke(*arguments)
    assert (code, out, err.count("\n")) == (64, "", 1)
    assert "set PNYX_NEW_PASSPHRASE" in err
    monkeypatch.setenv("PNYX_NEW_PASSPHRASE", "cow")
    assert invoke(*arguments)[0] == 0
    assert (can_open(None), can_open("cow")) == (False, True)

    monkeypatch.setenv("PNYX_NEW_PASSPHRASE", "dog")
    assert invoke(*arguments)[0] == 64
    monkeypatch.setenv("PNYX_PASSPHRASE", "cow")
    code, out, err = invoke(*arguments)
    assert (code, out, err.startswith("changed the passphrase of ")) == (0, "", True)
    assert (can_open("cow"), can_open("dog")) == (False, True)
    assert home.paths.keys.joinpath("node.key").stat().st_mode & 0o777 == 0o600

    monkeypatch.setenv("PNYX_PASSPHRASE", "dog")
    assert invoke(*arguments, "--remove")[0] == 0
    assert can_open(None)
    code, _, err = invoke(*arguments, "--remove")
    assert (code, err.count("\n")) == (64, 1)


def test_at_a_terminal_a_new_passphrase_is_asked_for_twice_and_never_shown(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    shown = answer_at_terminal(
        ("key", "backup", "-o", str(tmp_path / "backup"), "--home", str(home.paths.root)),
        answers=("horse", "hors", "horse", "horse"),
    )
    assert shown.count("passphrase for the backup: ") == 2
    assert "The two entered values do not match" in shown
    assert "hors" not in shown
    assert open_file(tmp_path / "backup").keys.seed == home.keys.seed


def answer_at_terminal(arguments: tuple[str, ...], *, answers: tuple[str, ...]) -> str:
    """Return what a command shows at a terminal where somebody answers every question that ends with a colon."""
    terminal, end = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PNYX_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", *arguments],
        stdin=end,
        stdout=end,
        stderr=end,
        env=environment,
        start_new_session=True,
    )
    os.close(end)
    shown, left = b"", list(answers)
    try:
        while True:
            chunk = os.read(terminal, 1_000)
            shown += chunk
            if shown.endswith(b": ") and left:
                os.write(terminal, left.pop(0).encode() + b"\n")
    except OSError:
        # The other end was closed: the command has ended.
        assert process.wait(timeout=60) == 0
    finally:
        os.close(terminal)
    return shown.decode()
