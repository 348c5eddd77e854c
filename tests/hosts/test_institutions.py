"""The guide for institutions, done as it is written: its own commands, on machines with addresses of their own."""

import json
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import pytest

from protocol.units import Height
from tests.e2e.networks import read_roots
from tests.hosts.guide import INSTITUTIONS, Run, Send, find_missing, read_addresses, read_steps
from tests.hosts.lab import Host, open_lab

AWAITED_S = 240.0
POLL_S = 0.3


class Story:
    """A guide that is being followed."""

    def __init__(self, hosts: Mapping[str, Host]) -> None:
        self._hosts = hosts
        self._meanings: dict[str, str] = {}
        self._lock = Lock()

    def follow(self, step: Run | Send) -> None:
        """Do one step, on all its machines at once; fail if it does not come out as the guide says."""
        if isinstance(step, Send):
            shutil.copy(self._hosts[step.sender].work / step.file, self._hosts[step.receiver].work)
            return
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda name: self._run(self._hosts[name], step), step.hosts))

    def _run(self, host: Host, step: Run) -> None:
        deadline = time.monotonic() + AWAITED_S
        while True:
            done = host.run(step.script, user=step.user)
            with self._lock:
                missing = find_missing(step.printed, done.stdout, self._meanings)
            if done.returncode == 0 and missing is None:
                return
            if done.returncode != 0 or not step.is_awaited or time.monotonic() > deadline:
                pytest.fail(
                    f"on {host.name}:\n{step.script}ended with {done.returncode} and printed"
                    f"\n{done.stdout}{done.stderr}without {missing!r}; the node's log ends:\n{read_log(host)[-4_000:]}",
                    pytrace=False,
                )
            time.sleep(POLL_S)


def read_log(host: Host) -> str:
    path = host.folder / "var/log/pnyx.log"
    return path.read_text() if path.exists() else ""


def read_log_levels(host: Host) -> set[str]:
    return {json.loads(line)["level"] for line in read_log(host).splitlines()}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_institutions_a_third_a_lost_machine_a_move_and_a_farewell(tmp_path: Path) -> None:
    with open_lab(tmp_path, read_addresses(INSTITUTIONS)) as hosts:
        story = Story(hosts)
        for step in read_steps(INSTITUTIONS):
            story.follow(step)
        stakes = json.loads(hosts["south"].run("pnyx stakes --json").stdout)
        for name in ("south", "new-north"):
            assert hosts[name].run("systemctl disable --now pnyx", user="root").returncode == 0
    assert [account["name"] for account in stakes["members"] if account["is_jailed"]] == []

    # C10: who came back from a backup was silent for a time; who brought its votes along was not.
    restored, moved = read_log(hosts["new-east"]), read_log(hosts["new-north"])
    assert 0 < restored.find('"voting_suspended"') < restored.find('"voting_resumed"')
    assert "voting_suspended" not in moved
    running = [host for host in hosts.values() if read_log(host)]
    assert len(running) == len(hosts)
    assert [host.name for host in running if "error" in read_log_levels(host)] == []

    ledgers = [read_roots(hosts[name].folder / "var/lib/pnyx") for name in ("south", "new-north", "new-east")]
    shared_height = min(len(roots) for roots in ledgers)
    assert shared_height > 20
    for height in map(Height, range(1, shared_height + 1)):
        assert len({roots[height] for roots in ledgers}) == 1, f"height {height}"
