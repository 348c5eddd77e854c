"""Founders make a genesis seed with the commands that they type, and mistakes and missing ones are named."""

import io
import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import structlog

import cli
from node.genesis_file import load_genesis
from node.json_values import JsonObject, get_object
from tests.bls_groups import make_group

VECTORS = Path(__file__).parents[1] / "vectors"
NAMES = ("ada", "bob", "cyd")


def run(*arguments: str | Path, code: int = 0) -> str:
    """Run a command in this process and return what it printed: its result, or its error."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["pnyx", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    # A command sets up the logs of its whole process.
    structlog.reset_defaults()
    assert (ended.value.code or 0) == code, err.getvalue()
    if code:
        assert err.getvalue().count("\n") == 1 and err.getvalue().startswith("pnyx: ")
    return err.getvalue() if code else out.getvalue()


def save(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def founders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with three homes, and the card and the commitment of each."""
    folder = tmp_path_factory.mktemp("founders")
    for index, name in enumerate(NAMES):
        run("init", "--home", folder / name, "--name", name, "--listen", f"/ip4/127.0.0.1/tcp/{4_001 + index}")
        save(folder / f"{name}.card", run("card", "show", "--home", folder / name))
        save(folder / f"{name}.commit", run("genesis", "commit", "--home", folder / name))
    return folder


def list_files(folder: Path, ending: str, names: Sequence[str] = NAMES) -> list[Path]:
    return [folder / f"{name}.{ending}" for name in names]


@pytest.fixture(scope="module")
def draft(founders: Path) -> Path:
    """The draft of the three, and their reveals beside their cards."""
    made = founders / "draft"
    files = [*list_files(founders, "card"), *list_files(founders, "commit")]
    shown = get_object(json.loads(run("genesis", "create", *files, "-o", made, "--json")))
    assert get_object(shown["seed"]) == {"origin": "founders", "is_revealed": False}
    path = made / "genesis.draft.json"
    assert shown == json.loads(run("genesis", "check", path, "--json"))
    for name in NAMES:
        save(founders / f"{name}.reveal", run("genesis", "reveal", path, "--home", founders / name))
    return path


def test_all_founders_make_a_seed_that_everybody_can_check(founders: Path, draft: Path, tmp_path: Path) -> None:
    copy = save(tmp_path / "genesis.draft.json", draft.read_text())
    out = run("genesis", "finish", copy, *list_files(founders, "reveal"))
    assert "seed     of all founders: each committed, all agreed to the draft, then each revealed" in out
    assert run("genesis", "check", tmp_path / "genesis.json") == out
    genesis = load_genesis(tmp_path / "genesis.json")
    assert genesis.founders_seed is not None
    assert len(genesis.founders_seed.reveals) == 3
    assert "genesis.json exists" in run("genesis", "finish", copy, *list_files(founders, "reveal"), code=64)


def test_a_changed_seed_is_noticed(founders: Path, draft: Path, tmp_path: Path) -> None:
    run("genesis", "finish", save(tmp_path / "genesis.draft.json", draft.read_text()), *list_files(founders, "reveal"))
    document: JsonObject = json.loads((tmp_path / "genesis.json").read_text())
    document["seed"] = "00" * 32
    edited = save(tmp_path / "edited.json", json.dumps(document))
    assert "the genesis seed is not the one that its origin makes" in run("genesis", "check", edited, code=64)


def test_a_missing_or_doubled_reveal_is_named(founders: Path, draft: Path) -> None:
    error = run("genesis", "finish", draft, *list_files(founders, "reveal", ("ada", "cyd")), code=64)
    assert "no seed reveal of bob: " in error
    doubled = [*list_files(founders, "reveal"), founders / "ada.reveal"]
    assert "a reveal was given twice" in run("genesis", "finish", draft, *doubled, code=64)
    assert not (draft.parent / "genesis.json").exists()


def test_a_missing_commitment_is_named(founders: Path, tmp_path: Path) -> None:
    files = [*list_files(founders, "card"), *list_files(founders, "commit", ("ada",))]
    error = run("genesis", "create", *files, "-o", tmp_path / "out", code=64)
    assert "no seed commitment of bob, cyd: all founders commit" in error
    files = [*list_files(founders, "card", ("ada", "bob")), *list_files(founders, "commit")]
    assert "but no card" in run("genesis", "create", *files, "-o", tmp_path / "out", code=64)


def test_a_home_reveals_for_one_draft_only_and_only_as_a_founder(founders: Path, draft: Path, tmp_path: Path) -> None:
    files = [*list_files(founders, "card"), *list_files(founders, "commit")]
    run("genesis", "create", *files, "--name", "second", "-o", tmp_path)
    second = tmp_path / "genesis.draft.json"
    assert "was revealed for draft" in run("genesis", "reveal", second, "--home", founders / "ada", code=64)
    run("init", "--home", tmp_path / "dan", "--name", "dan")
    assert "is no founder in this draft" in run("genesis", "reveal", draft, "--home", tmp_path / "dan", code=64)
    run("genesis", "commit", "--home", tmp_path / "dan")


def test_an_edited_draft_gets_no_reveal(founders: Path, draft: Path, tmp_path: Path) -> None:
    document: JsonObject = json.loads(draft.read_text())
    document["created_ms"] = 1
    edited = save(tmp_path / "edited.json", json.dumps(document))
    error = run("genesis", "reveal", edited, "--home", founders / "ada", code=64)
    assert "the document is that of draft" in error


def test_a_draft_and_a_document_are_not_taken_for_each_other(founders: Path, draft: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    run("init", "--home", home, "--name", "eve")
    (home / "genesis.json").write_text(draft.read_text())
    assert "this is the draft of a genesis document" in run("run", "--home", home, code=64)
    run("genesis", "finish", save(tmp_path / "genesis.draft.json", draft.read_text()), *list_files(founders, "reveal"))
    error = run("genesis", "reveal", tmp_path / "genesis.json", "--home", founders / "ada", code=64)
    assert "this is a genesis document already" in error


def test_a_drand_round_makes_the_seed(founders: Path, tmp_path: Path) -> None:
    beacon = json.loads((VECTORS / "drand_quicknet.json").read_text(encoding="utf-8"))["rounds"][0]
    answer = save(tmp_path / "round.json", json.dumps(beacon))
    out = run("genesis", "create", *list_files(founders, "card"), "--drand", answer, "-o", tmp_path / "made")
    published = "2023-08-23 15:59:24 UTC"
    assert f"seed     drand quicknet round 1000, published {published}; was it fixed before?" in out
    shown = get_object(json.loads(run("genesis", "check", tmp_path / "made" / "genesis.json", "--json")))
    seed = get_object(shown["seed"])
    assert (seed["origin"], seed["round"], seed["signature"]) == ("drand", 1_000, beacon["signature"])


def test_the_round_of_another_network_needs_its_key(founders: Path, tmp_path: Path) -> None:
    group = make_group(5, 3)
    signature = group.sign(7, range(3))
    text = f'{{"round": 7, "randomness": "{"00" * 32}", "signature": "{signature.hex()}"}}'
    answer = save(tmp_path / "round.json", text)
    cards = list_files(founders, "card")
    arguments: list[str | Path] = ["genesis", "create", *cards, "--drand", answer, "-o", tmp_path / "made"]
    assert "this is no round 7 of the drand network 83cf0f28" in run(*arguments, code=64)
    assert "randomness is not the SHA-256" in run(*arguments, "--drand-key", group.public_key.hex(), code=64)


def test_a_seed_has_one_origin(founders: Path, tmp_path: Path) -> None:
    files = [*list_files(founders, "card"), *list_files(founders, "commit")]
    assert "one origin" in run("genesis", "create", *files, "--drand", tmp_path / "none.json", code=64)
    error = run("genesis", "create", *list_files(founders, "card"), "--drand-key", "00", code=64)
    assert "give the round itself with --drand" in error


def test_a_document_whose_maker_chose_the_seed_says_so(founders: Path, tmp_path: Path) -> None:
    out = run("genesis", "create", *list_files(founders, "card"), "-o", tmp_path / "made")
    assert "seed     chosen by whoever made this document: nobody else can check that it is random" in out
