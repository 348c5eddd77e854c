"""A member's backup: nothing is lost, nothing overwritten, nothing double-signed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from node.clock import OsEntropy
from node.errors import ConfigError, DiskFailed, HomeLocked
from node.genesis_file import GENESIS_TEXT_BYTES_MAX
from node.home import Home, HomeLock, HomePaths, load_home
from node.key_backup import format_backup, load_backup, open_backup, restore_home
from node.sealing import WrongPassphrase
from node.store.sqlite import SqliteStore
from tests.founders import make_founders
from tests.helpers import LedgerBuilder
from tests.node.key_homes import GENESIS, back_up, make_home, open_file

pytestmark = pytest.mark.usefixtures("cheap_passphrases")


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


def test_the_database_of_a_lost_home_spares_the_restored_one_the_wait(tmp_path: Path, builder: LedgerBuilder) -> None:
    """C10."""
    home = make_home(tmp_path / "home")
    assert may_vote(home.paths.root, builder)
    restored = restore(back_up(home, tmp_path / "backup"), tmp_path / "restored")
    shutil.copy(home.paths.ledger, restored.ledger)
    assert may_vote(restored.root, builder)


def test_a_database_that_is_newer_than_the_backup_keeps_its_own_mark(tmp_path: Path, builder: LedgerBuilder) -> None:
    """C10: what it remembers, the backup's mark knows nothing of."""
    home = make_home(tmp_path / "home")
    backup = back_up(home, tmp_path / "backup")
    home.paths.vote_log_marker.write_text("00" * 32 + "\n")
    old_backup = back_up(home, tmp_path / "old backup")
    home.paths.vote_log_marker.unlink()
    assert may_vote(home.paths.root, builder)
    for path in (backup, old_backup):
        (home.paths.keys / "node.key").unlink()
        restore(path, home.paths.root)
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


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    (tmp_path / "file").touch()
    with pytest.raises(DiskFailed, match="file/backup: Not a directory"):
        back_up(home, tmp_path / "file/backup")
    backup = back_up(home, tmp_path / "backup")
    with pytest.raises(DiskFailed, match="file/home: Not a directory"):
        restore(backup, tmp_path / "file/home")


def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    (tmp_path / "backup").write_text("somebody's")
    with pytest.raises(ConfigError, match="overwrites nothing"):
        back_up(home, tmp_path / "backup")
    assert (tmp_path / "backup").read_text() == "somebody's"


def test_a_backup_that_nobody_could_open_is_not_made(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    home.paths.config.write_text('name = "an\\u0000na"\n')
    with pytest.raises(ConfigError, match=r"config\.toml: name: "):
        back_up(home, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("genesis", [None, "", "{", "[]", '{"chain_id": 7}'])
def test_keys_can_be_backed_up_whatever_the_genesis_document_is(tmp_path: Path, genesis: str | None) -> None:
    home = make_home(tmp_path / "home")
    home.paths.genesis.unlink()
    if genesis is not None:
        home.paths.genesis.write_text(genesis)
    backup = open_file(back_up(home, tmp_path / "backup"))
    assert (backup.get_chain_id(), backup.content.genesis) == (None, genesis)


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
