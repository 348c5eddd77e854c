"""What the doctor says of the machine: software, disk, clock, ports, open files."""

import os
import socket
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from node.config import Config
from node.doctor import machine
from node.doctor.daemon import DaemonFacts, _find_process, check_daemon, gather_daemon
from node.doctor.findings import Level
from node.doctor.machine import ClockFacts, DiskFacts, PortFacts, SoftwareFacts
from node.home import HomeLock, HomePaths
from node.json_values import JsonObject
from protocol.units import Millis

MB = 1 << 20
STOPPED = DaemonFacts(holder=None)
RUNNING = DaemonFacts(holder="7", status={"version": "1.0", "is_voting": True, "height": 9}, pid=os.getpid())
NOW_MS = Millis(1_700_000_000_000)
CLOCK = ClockFacts(now_ms=NOW_MS, ledger_ms=NOW_MS, drift_max_ms=Millis(5_000), is_synchronized=True)
SOFTWARE = SoftwareFacts(python="3.11.7", pnyx="1.0", libraries=(("torch", "2.4"),))
DISK = DiskFacts(free_bytes=10_000 * MB, quota_bytes=0, artifact_bytes=0)
PORTS = PortFacts(wanted=("/ip4/0.0.0.0/tcp/4001",), error="", is_running=False, missing=())


@pytest.mark.parametrize(
    ("facts", "level", "text"),
    [
        (CLOCK, Level.OK, "a time service keeps the clock"),
        (replace(CLOCK, heard_count=3, ahead_ms=Millis(2_400)), Level.OK, "agrees with most others' (heard: 3)"),
        (replace(CLOCK, heard_count=3, ahead_ms=Millis(61_000)), Level.FAILURE, "61.0 s ahead of most others'"),
        (replace(CLOCK, heard_count=3, behind_ms=Millis(61_000)), Level.FAILURE, "61.0 s behind most others'"),
        (replace(CLOCK, ledger_ms=Millis(NOW_MS + 60_000)), Level.FAILURE, "60.0 s behind the last block at least"),
        (replace(CLOCK, ledger_ms=Millis(NOW_MS - 60_000)), Level.OK, "keeps the clock"),
        (replace(CLOCK, heard_count=3, ahead_ms=Millis(900), drift_max_ms=None), Level.OK, "agrees with most others'"),
        (replace(CLOCK, is_synchronized=False), Level.WARNING, "nothing keeps the clock synchronized: turn on"),
        (replace(CLOCK, is_synchronized=None, ledger_ms=None), Level.WARNING, "not checked: the kernel does not tell"),
    ],
)
def test_the_clock_is_compared_with_the_best_that_there_is(facts: ClockFacts, level: Level, text: str) -> None:
    finding = machine.check_clock(facts)
    assert finding.level is level
    assert text in finding.text


def test_what_the_daemon_has_compared_is_taken_from_its_status() -> None:
    compared: JsonObject = {"behind_ms": 0, "ahead_ms": 9_000, "member_count": 2}
    daemon = replace(RUNNING, status={"clock": compared})
    facts = machine.gather_clock(daemon, now_ms=NOW_MS, ledger_ms=None, drift_max_ms=Millis(5_000))
    assert (facts.ahead_ms, facts.heard_count) == (9_000, 2)
    older = replace(RUNNING, status={})
    facts = machine.gather_clock(older, now_ms=NOW_MS, ledger_ms=None, drift_max_ms=None)
    assert (facts.ahead_ms, facts.heard_count) == (0, 0)


@pytest.mark.parametrize(
    ("facts", "daemon", "level", "text"),
    [
        (SOFTWARE, STOPPED, Level.OK, "pnyx 1.0, Python 3.11.7, torch 2.4"),
        (SOFTWARE, RUNNING, Level.OK, "pnyx 1.0"),
        (replace(SOFTWARE, pnyx="1.1"), RUNNING, Level.WARNING, "the daemon that runs is pnyx 1.0, installed is 1.1"),
        (replace(SOFTWARE, libraries=(("torch", None),)), STOPPED, Level.FAILURE, "not installed: torch"),
    ],
)
def test_software(facts: SoftwareFacts, daemon: DaemonFacts, level: Level, text: str) -> None:
    finding = machine.check_software(facts, daemon)
    assert finding.level is level
    assert text in finding.text


def test_the_versions_told_are_those_that_are_installed() -> None:
    facts = machine.gather_software()
    assert facts.pnyx is not None
    assert all(found is not None for _, found in facts.libraries)


@pytest.mark.parametrize(
    ("facts", "level", "text"),
    [
        (DISK, Level.OK, "10000 MB of disk are left"),
        (replace(DISK, free_bytes=900 * MB), Level.FAILURE, "900 MB of disk are left, and the node stops when none is"),
        (replace(DISK, quota_bytes=20_000 * MB), Level.WARNING, "models may take 20000 MB more"),
        (replace(DISK, quota_bytes=20_000 * MB, artifact_bytes=11_000 * MB), Level.OK, "10000 MB"),
    ],
)
def test_disk(facts: DiskFacts, level: Level, text: str) -> None:
    finding = machine.check_disk(facts)
    assert finding.level is level
    assert text in finding.text


def test_artifacts_are_counted(tmp_path: Path) -> None:
    paths = HomePaths(root=tmp_path)
    (paths.artifacts / "models").mkdir(parents=True)
    (paths.artifacts / "models" / "one").write_bytes(bytes(5_000))
    assert machine.gather_disk(paths, Config(name="anna")).artifact_bytes == 5_000
    assert machine.gather_disk(HomePaths(root=tmp_path / "no" / "home"), None).free_bytes > 0


@pytest.mark.parametrize(
    ("facts", "level", "text"),
    [
        (PORTS, Level.OK, "/ip4/0.0.0.0/tcp/4001 can be listened on"),
        (replace(PORTS, is_running=True), Level.OK, "the daemon listens on /ip4/0.0.0.0/tcp/4001"),
        (replace(PORTS, error="port 4001 is in use"), Level.FAILURE, "port 4001 is in use"),
        (replace(PORTS, is_running=True, missing=("port 8780",)), Level.WARNING, "port 8780, and the daemon does not"),
    ],
)
def test_ports(facts: PortFacts, level: Level, text: str) -> None:
    finding = machine.check_ports(facts)
    assert finding.level is level
    assert text in finding.text


async def test_ports_are_tried_or_looked_for_in_the_running_daemon() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        taken = Config(name="anna", listen=(f"/ip4/127.0.0.1/tcp/{port}",))
        assert f"tcp/{port} is in use" in (await machine.gather_ports(taken, STOPPED)).error
        page = Config(name="anna", listen=("/ip4/127.0.0.1/tcp/0",), http_port=port)
        assert f"port {port} is in use" in (await machine.gather_ports(page, STOPPED)).error
        # This process plays the daemon: it has the one port and not the other.
        assert (await machine.gather_ports(taken, RUNNING)).missing == ()
    assert (await machine.gather_ports(taken, RUNNING)).missing == taken.listen
    assert (await machine.gather_ports(taken, STOPPED)).error == ""
    with socket.create_server(("127.0.0.1", port)):
        pass


@pytest.mark.parametrize(
    ("limit", "level"), [(1_024, Level.OK), (-1, Level.OK), (300, Level.WARNING), (None, Level.WARNING)]
)
def test_open_files(limit: int | None, level: Level) -> None:
    assert machine.check_open_files(limit, 20).level is level


def test_the_limit_of_open_files_is_that_of_the_process_asked_about() -> None:
    assert machine.read_open_files_max(os.getpid()) == machine.read_open_files_max(None)


@pytest.mark.parametrize(
    ("facts", "level", "text"),
    [
        (STOPPED, Level.OK, "no daemon runs on this home"),
        (RUNNING, Level.OK, "process 7 runs at height 9 and votes"),
        (DaemonFacts(holder="7"), Level.FAILURE, "process 7 holds this home and does not answer"),
        (
            replace(RUNNING, status={"is_voting": False, "not_voting_reason": "it forgot"}),
            Level.WARNING,
            "process 7 casts no votes in consensus: it forgot",
        ),
    ],
)
def test_the_daemon(facts: DaemonFacts, level: Level, text: str) -> None:
    finding = check_daemon(facts)
    assert finding.level is level
    assert text in finding.text


async def test_a_home_that_is_held_by_somebody_who_does_not_answer_is_told_from_a_free_one(tmp_path: Path) -> None:
    paths = HomePaths(root=tmp_path)
    assert await gather_daemon(paths) == STOPPED
    with HomeLock(paths):
        assert await gather_daemon(paths) == DaemonFacts(holder=str(os.getpid()))
    assert await gather_daemon(paths) == STOPPED


def test_a_process_that_is_not_as_old_as_the_daemon_is_another_ones() -> None:
    """A container counts its processes anew."""
    age_ms = round((time.time() - psutil.Process().create_time()) * 1_000)
    assert _find_process({"pid": os.getpid(), "uptime_ms": age_ms}) == os.getpid()
    assert _find_process({"pid": os.getpid(), "uptime_ms": age_ms + 3_600_000}) is None
    assert _find_process({"pid": 1 << 30, "uptime_ms": 0}) is None
