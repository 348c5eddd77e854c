"""What the doctor says of a home's files: whose they are, and what the daemon's own loaders say of their contents."""

from dataclasses import replace
from pathlib import Path

import pytest

from node.clock import OsEntropy
from node.config import Config
from node.config_keys import Attack
from node.doctor import files
from node.doctor.files import Place, Places
from node.doctor.findings import Level
from node.errors import ConfigError
from node.genesis_file import save_genesis
from node.home import Home, HomePaths, init_home
from tests.node.foundings import make_cards_genesis
from tests.node.store_homes import make_store_home

ROOT = Path("/srv/pnyx")
OWN = Place(path=ROOT, owner=4_294_900_001, mode=0o755, is_writable=True)
PLACES = Places(root=ROOT, found=(OWN,), user=OWN.owner, is_mounted_read_only=False)


def make_home(root: Path, *, passphrase: str | None = None) -> Home:
    config = Config(name="anna", listen=("/ip4/127.0.0.1/tcp/4001",))
    return init_home(root, config, entropy=OsEntropy(), passphrase=passphrase)


def gather(home: Home, passphrase: str | None = None) -> files.Contents:
    return files.gather_contents(home.paths, lambda: passphrase)


@pytest.mark.parametrize(
    ("places", "level", "text"),
    [
        (PLACES, Level.OK, "/srv/pnyx can be written, all of it by user 4294900001"),
        (replace(PLACES, found=()), Level.FAILURE, "there is no /srv/pnyx: make a home"),
        (replace(PLACES, is_mounted_read_only=True), Level.FAILURE, "mounted read-only: mount it for writing"),
        (
            replace(PLACES, found=(OWN, replace(OWN, path=ROOT / "lock", owner=0))),
            Level.FAILURE,
            "run `chown -R user 4294900001 /srv/pnyx`",
        ),
        (replace(PLACES, found=(replace(OWN, is_writable=False),)), Level.FAILURE, "let the owner write (`chmod -R"),
        (replace(PLACES, user=0), Level.WARNING, "and you are root: run this as user 4294900001"),
        (replace(PLACES, found=(replace(OWN, mode=0o777),)), Level.WARNING, "run `chmod go-w /srv/pnyx`"),
    ],
)
def test_whose_files_these_are(places: Places, level: Level, text: str) -> None:
    finding = files.check_places(places)
    assert finding.level is level
    assert text in finding.text


def test_a_home_as_it_is_made_is_in_order(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    places = files.gather_places(home.paths)
    assert [place.path.name for place in places.found] == ["home", "keys"]
    contents = gather(home)
    checks = (files.check_places(places), files.check_config(contents), files.check_keys(contents))
    assert [finding.level for finding in checks] == [Level.OK] * 3


def test_there_may_be_no_home(tmp_path: Path) -> None:
    assert files.gather_places(HomePaths(root=tmp_path / "nowhere")).found == ()


def test_what_is_wrong_in_the_configuration_is_what_a_start_would_say(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    home.paths.config.write_text('name = "anna"\nlisten = 7\n')
    finding = files.check_config(gather(home))
    assert finding.level is Level.FAILURE
    assert finding.text.startswith(f"{home.paths.config}, line 2: listen: a list of at least 1 addresses")


def test_a_member_that_is_made_to_cheat_is_pointed_out() -> None:
    contents = files.Contents(
        config=Config(name="anna", attack=Attack.NOISE),
        keys=ConfigError(""),
        lacks_passphrase=False,
        genesis=ConfigError(""),
        model_digest=None,
    )
    assert files.check_config(contents).level is Level.WARNING


def test_keys_are_opened_with_the_passphrase_or_said_not_to_be_checked(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", passphrase="open sesame")
    assert files.check_keys(gather(home, "open sesame")).level is Level.OK
    wrong, nobody = files.check_keys(gather(home, "wrong")), files.check_keys(gather(home))
    assert (wrong.level, nobody.level) == (Level.FAILURE, Level.WARNING)
    assert "does not open with this passphrase" in wrong.text
    assert nobody.text.startswith("not checked: ")


def test_the_genesis_document_and_the_model_beside_it_belong_together(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    assert "there is no" in files.check_genesis(home.paths, gather(home)).text
    other = replace(make_home(tmp_path / "other"), config=Config(name="bert"))
    save_genesis(home.paths.genesis, make_cards_genesis(home.make_card(), other.make_card()))
    assert files.check_genesis(home.paths, gather(home)).level is Level.OK
    home.paths.model.write_bytes(b"another model")
    finding = files.check_genesis(home.paths, gather(home))
    assert finding.level is Level.FAILURE
    assert "is not the initial model" in finding.text
    home.paths.keys.rename(tmp_path / "keys")
    home.paths.model.unlink()
    assert files.check_genesis(home.paths, gather(home)).level is Level.OK, "it needs no keys to be read"


async def test_a_ledger_is_looked_at_as_a_start_would_and_left_as_it_is(tmp_path: Path) -> None:
    stored = make_store_home(tmp_path / "home")
    none_yet = files.gather_ledger(HomePaths(root=stored.root), stored.builder.genesis, room_bytes=0)
    assert files.check_ledger(none_yet).level is Level.OK
    store = stored.open_store()
    store.load()
    blocks = stored.make_blocks()
    await store.append([*blocks, stored.make_vote(101)])
    # A daemon that was killed leaves its log behind; the copy must hold what only the log has.
    crashed = stored.copy_to(tmp_path / "crashed")
    stored.close_all()
    paths, genesis = HomePaths(root=crashed.root), stored.builder.genesis
    before = {path.name: path.read_bytes() for path in crashed.root.iterdir()}

    facts = files.gather_ledger(paths, genesis, room_bytes=1 << 40)
    assert facts.state == stored.builder.state
    assert files.check_ledger(facts).text == f"ledger.db is intact at height {len(blocks)}, of format 2"
    assert {path.name: path.read_bytes() for path in crashed.root.iterdir()} == before

    no_room = files.check_ledger(files.gather_ledger(paths, genesis, room_bytes=1))
    assert no_room.level is Level.WARNING
    assert "TMPDIR" in no_room.text
    crashed.log.unlink()
    crashed.ledger.write_bytes(b"no database at all")
    damaged = files.check_ledger(files.gather_ledger(paths, genesis, room_bytes=1 << 40))
    assert damaged.level is Level.FAILURE
    assert damaged.text.startswith(f"{crashed.ledger} is damaged")
