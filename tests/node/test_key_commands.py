"""The commands for keys, as a person at a terminal and as a script use them."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from node.errors import ConfigError
from node.home import load_home
from node.sealing import WrongPassphrase
from node.worker.process import _build_environment
from tests.node.conftest import Invoke
from tests.node.key_homes import make_home, open_file

pytestmark = pytest.mark.usefixtures("cheap_passphrases")


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
    assert "casts no votes until" in err
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


def test_the_worker_which_runs_a_tasks_code_gets_no_passphrase() -> None:
    secrets = ("PNYX_PASSPHRASE", "PNYX_NEW_PASSPHRASE", "PNYX_BACKUP_PASSPHRASE")
    environment = {**dict.fromkeys(secrets, "horse"), "PNYX_HOME": "x", "LANG": "C"}
    given = _build_environment(environment, (), 1)
    assert "horse" not in given.values()
    assert (given["PNYX_HOME"], given["LANG"]) == ("x", "C")


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
