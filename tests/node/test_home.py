"""A node's home: made once, opened by one process at a time, and with the genesis document that names its member."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from node.cards import check_card
from node.clock import OsEntropy
from node.config import Config
from node.errors import ConfigError, DiskFailed, HomeLocked
from node.genesis_file import save_genesis
from node.home import Home, HomeLock, HomePaths, init_home, load_home
from protocol.genesis import Genesis
from tests.founders import make_founders
from tests.node.foundings import make_cards_genesis

HOLD_LOCK = """
import sys
from dataclasses import replace
from pathlib import Path
from node.home import HomeLock, HomePaths
with HomeLock(HomePaths(root=Path(sys.argv[1]))):
    print("locked", flush=True)
    sys.stdin.read()
"""


def init(root: Path, name: str = "anna", passphrase: str | None = None) -> Home:
    config = Config(name=name, listen=("/ip4/127.0.0.1/tcp/4001",))
    return init_home(root, config, entropy=OsEntropy(), passphrase=passphrase)


def load(root: Path) -> Home:
    return load_home(root, environment={})


def make_genesis_of(*homes: Home) -> Genesis:
    return make_cards_genesis(*[home.make_card() for home in homes])


def test_a_home_opens_as_it_was_made(tmp_path: Path) -> None:
    made = init(tmp_path / "home")
    opened = load(tmp_path / "home")
    assert opened.config == made.config
    assert opened.keys.signing.member == made.keys.signing.member
    assert opened.paths == made.paths


def test_a_home_is_never_made_twice(tmp_path: Path) -> None:
    made = init(tmp_path)
    with pytest.raises(ConfigError, match="is a home already"):
        init(tmp_path)
    assert load(tmp_path).keys.signing.member == made.keys.signing.member


def test_keys_alone_are_not_overwritten_either(tmp_path: Path) -> None:
    init(tmp_path)
    (tmp_path / "config.toml").unlink()
    with pytest.raises(ConfigError, match="is a home already"):
        init(tmp_path)


def test_a_home_where_none_can_be_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskFailed, match="file/home: Not a directory"):
        init(tmp_path / "file/home")


def test_a_directory_that_is_no_home_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pnyx init"):
        load(tmp_path)


def test_the_card_names_what_is_announced_or_else_listened_on(tmp_path: Path) -> None:
    home = init(tmp_path)
    card = home.make_card()
    check_card(card, where="card")
    assert card.addresses == ("/ip4/127.0.0.1/tcp/4001",)
    announcing = load_home(tmp_path, environment={"PNYX_ANNOUNCE": "/dns4/anna.example/tcp/4001"})
    assert announcing.make_card().addresses == ("/dns4/anna.example/tcp/4001",)


def test_a_home_without_genesis_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pnyx genesis create"):
        init(tmp_path).load_genesis()


def test_a_founder_finds_itself_in_its_genesis(tmp_path: Path) -> None:
    anna, bert = init(tmp_path / "anna"), init(tmp_path / "bert", "bert")
    genesis = make_genesis_of(anna, bert)
    save_genesis(anna.paths.genesis, genesis)
    assert anna.load_genesis() == genesis


def test_a_newcomer_opens_the_genesis_of_a_network_that_it_did_not_found(tmp_path: Path) -> None:
    """L9."""
    anna, bert, cleo = (init(tmp_path / name, name) for name in ("anna", "bert", "cleo"))
    genesis = make_genesis_of(anna, bert)
    save_genesis(cleo.paths.genesis, genesis)
    assert cleo.load_genesis() == genesis


def test_a_home_refuses_a_genesis_with_another_bls_key_for_it(tmp_path: Path) -> None:
    anna, bert = init(tmp_path / "anna"), init(tmp_path / "bert", "bert")
    stranger = make_founders(1)[0].founder
    genesis = make_genesis_of(anna, bert)
    founders = tuple(
        replace(founder, bls_key=stranger.bls_key, possession=stranger.possession)
        if founder.name == "anna"
        else founder
        for founder in genesis.founders
    )
    save_genesis(anna.paths.genesis, replace(genesis, founders=founders))
    with pytest.raises(ConfigError, match="another BLS key"):
        anna.load_genesis()


def test_a_second_process_on_a_home_is_refused_with_the_first_ones_number(tmp_path: Path) -> None:
    with HomeLock(HomePaths(root=tmp_path)), pytest.raises(HomeLocked, match=r"process \d+ already runs"):
        HomeLock(HomePaths(root=tmp_path))


def test_a_released_home_can_be_locked_again(tmp_path: Path) -> None:
    for _ in range(2):
        with HomeLock(HomePaths(root=tmp_path)):
            pass


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(HomeLocked, match=f"process {holder.pid} already runs"):
            HomeLock(HomePaths(root=tmp_path))
    finally:
        holder.kill()
        holder.wait(timeout=30)
        holder.stdin.close()
        holder.stdout.close()
    HomeLock(HomePaths(root=tmp_path)).close()
