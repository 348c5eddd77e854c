"""The command line: errors in one line, exit codes, documents for programs, and nothing heavy at the start."""

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import cli
from node.commands.common import AggregationName
from node.errors import DiskFailed
from node.json_values import JsonObject, get_list, get_object
from protocol.parameters import AggregationRule
from tests.node.conftest import Invoke

COMMANDS = (
    "doctor",
    *("demo", "init", "card", "genesis", "run", "status", "peers", "rounds", "stakes", "model", "watch", "ledger"),
    *("key", "bond", "unbond", "join", "approve", "leave", "newcomers", "verify", "testnet"),
)


def make_card(invoke: Invoke, directory: Path, name: str, port: int) -> Path:
    home = directory / name
    code, _, _ = invoke("init", "--home", str(home), "--name", name, "--listen", f"/ip4/127.0.0.1/tcp/{port}")
    assert code == 0
    code, out, _ = invoke("card", "show", "--home", str(home))
    assert code == 0
    card = directory / f"{name}.card"
    card.write_text(out)
    return card


def test_help_names_every_command(invoke: Invoke) -> None:
    code, out, _ = invoke("--help")
    assert code == 0
    for command in COMMANDS:
        assert f"\n  {command} " in out


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; sys.argv = ['pnyx', '--help']\nimport cli\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'trio', 'libp2p', 'torch', 'numpy', 'nacl', 'structlog', 'sqlite3', 'rich.table', 'msgpack'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.endswith("HEAVY []\n")


def test_cards_become_a_genesis_document_that_every_founder_sees_alike(invoke: Invoke, tmp_path: Path) -> None:
    cards = [make_card(invoke, tmp_path, name, 4_001 + index) for index, name in enumerate(("ada", "bob", "cyd"))]
    code, out, _ = invoke("card", "check", str(cards[0]))
    assert code == 0
    assert out.startswith("good: ada, member ")

    options = ("--name", "trial", "--rounds", "9", "--aggregation", "trimmed_mean", "--set", "train_deadline_ms=5000")
    code, out, _ = invoke("genesis", "create", *map(str, cards), *options, "-o", str(tmp_path / "shared"), "--json")
    assert code == 0
    created: JsonObject = get_object(json.loads(out))
    parameters = get_object(created["parameters"])
    chosen = [parameters[name] for name in ("rounds_max", "aggregation", "train_deadline_ms")]
    assert chosen == [9, "trimmed_mean", 5_000]
    assert [get_object(member)["name"] for member in get_list(created["members"])] == sorted(
        ("ada", "bob", "cyd"), key=lambda name: str(json.loads((tmp_path / f"{name}.card").read_text())["member"])
    )

    code, out, _ = invoke("genesis", "check", str(tmp_path / "shared" / "genesis.json"), "--json")
    assert code == 0
    assert get_object(json.loads(out)) == created

    code, out, _ = invoke("genesis", "check", str(tmp_path / "shared" / "genesis.json"))
    assert "0 of the 3 members (30 %) are malicious, they hold most of a round's 3 votes with probability 0.0%" in out

    assert created["absent_max"] == 0
    assert "\naway     none of them at a time: " in out

    code, _, err = invoke("genesis", "create", *map(str, cards), "-o", str(tmp_path / "shared"))
    assert (code, err.count("\n")) == (64, 1)
    assert "genesis.json exists" in err


def test_init_says_how_to_send_the_card_of_this_very_home(invoke: Invoke, tmp_path: Path) -> None:
    home = tmp_path / "a home"
    code, _, err = invoke("init", "--home", str(home), "--name", "St. Mary/1")
    assert code == 0
    assert err.endswith(f": pnyx card show --home '{home}' > 'St. Mary-1.card'\n")


def test_every_rule_has_its_name_on_the_command_line() -> None:
    assert get_args(AggregationName) == tuple(rule.name.lower() for rule in AggregationRule)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("status", "--home", "HOME"), 69, "no daemon runs on HOME; start it with: pnyx run --home HOME"),
        (("watch", "--home", "HOME"), 69, "no daemon runs on HOME"),
        (("stop", "--home", "HOME"), 69, "no daemon runs on HOME"),
        (("bond", "1.5", "--home", "HOME"), 69, "no daemon runs on HOME"),
        (("unbond", "1.5", "--home", "HOME"), 69, "no daemon runs on HOME"),
        (("join", "HOME/none.card", "--bond", "8", "--home", "HOME"), 64, "none.card: No such file"),
        (("approve", "dave", "--home", "HOME"), 69, "no daemon runs on HOME"),
        (("leave", "--yes", "--home", "HOME"), 69, "no daemon runs on HOME"),
        (("newcomers", "--home", "HOME"), 69, "no daemon runs on HOME"),
        (("run", "--home", "HOME"), 64, "make a home with `pnyx init`"),
        (("card", "show", "--home", "HOME"), 64, "make a home with `pnyx init`"),
        (("card", "check", "HOME/none.card"), 64, "No such file"),
        (("genesis", "check", "HOME/none.json"), 64, "No such file"),
        (("ledger", "show", "--home", "HOME"), 64, "there is no ledger in HOME"),
        (("ledger", "export", "--home", "HOME", "-o", "HOME/out"), 64, "there is no ledger in HOME"),
        (("model", "export", "--home", "HOME", "-o", "HOME/out"), 64, "there is no ledger in HOME"),
        (("init", "--home", "HOME/new", "--name", "ada", "--listen", "nowhere"), 64, "'nowhere' is no address"),
        (("init", "--home", "HOME/new", "--name", ""), 64, "--name: give 1 to 64 printable characters"),
        (("demo", "--nodes", "1"), 64, "--nodes 1: give 2 to 40"),
        (("demo", "--set", "speed=9"), 64, "unknown parameter 'speed'"),
        (("demo", "--set", "block_interval_ms=fast"), 64, "it must be an integer"),
        (("demo", "--aggregation", "krum"), 64, "aggregation krum needs proposer_count of at least 5"),
        (("demo", "--param", "split"), 64, "'split' is not key=value"),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do(
    invoke: Invoke, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    home = str(tmp_path)
    found, out, err = invoke(*(argument.replace("HOME", home) for argument in arguments))
    assert found == code
    assert words.replace("HOME", home) in err
    assert err.startswith("pnyx: ")
    assert err.count("\n") == 1
    assert out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("fly",),
        ("demo", "--nodes", "many"),
        ("demo", "--attack", "charm"),
        ("verify",),
        ("bond", "0"),
        ("unbond", "a lot"),
        ("join", "dave.card"),
        ("join", "dave.card", "--bond", "0"),
    ],
)
def test_wrong_usage_exits_with_2(invoke: Invoke, arguments: tuple[str, ...]) -> None:
    code, out, err = invoke(*arguments)
    assert code == 2
    assert out == ""
    assert "Usage: pnyx" in err


def test_verify_of_something_else_fails_with_the_height(invoke: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "ledger.pnyx"
    path.write_bytes(b"no ledger")
    code, out, _ = invoke("verify", str(path))
    assert code == 1
    assert out.startswith("WRONG at height 0: ")
    code, out, _ = invoke("verify", str(path), "--json")
    assert code == 1
    assert get_object(json.loads(out))["height"] == 0


def test_a_task_that_nobody_knows_is_named_and_no_document_made(invoke: Invoke, tmp_path: Path) -> None:
    cards = [make_card(invoke, tmp_path, name, 4_001 + index) for index, name in enumerate(("ada", "bob"))]
    code, out, err = invoke("genesis", "create", *map(str, cards), "--task", "nonsense", "-o", str(tmp_path / "shared"))
    assert (code, out, err.count("\n")) == (64, "", 1)
    known = "breast_cancer, credit_data, digits, lending_club, mnist, reviews, support2"
    assert f"unknown task 'nonsense': use {known} or module:Class" in err
    assert not (tmp_path / "shared" / "genesis.json").exists()


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from node.errors import DaemonUnreachable

    monkeypatch.setattr(sys, "argv", ["pnyx", "--debug", "status", "--home", str(tmp_path)])
    with pytest.raises(DaemonUnreachable):
        cli.main()


def test_a_file_that_cannot_be_had_is_one_line_whoever_asked_for_it(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = invoke("init", "--name", "anna", "--home", str(tmp_path / "file" / "home"))
    assert code == DiskFailed.exit_code
    assert err == f"pnyx: {tmp_path}/file/home: Not a directory: check the disk and whose files these are\n"
