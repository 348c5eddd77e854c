"""What systemd is told, and the unit that makes it listen."""

import configparser
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from node.commands.systemd import format_unit
from node.service_manager import ALIVE, READY, ServiceManager


@pytest.fixture
def manager_socket(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(10)
        yield listening


def test_a_manager_hears_what_it_is_told(manager_socket: socket.socket) -> None:
    ServiceManager({"NOTIFY_SOCKET": manager_socket.getsockname()}).tell(READY)
    assert manager_socket.recv(100) == b"READY=1"


def test_a_manager_in_the_abstract_space_hears_too() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0pnyx-test-{os.getpid()}")
        listening.settimeout(10)
        ServiceManager({"NOTIFY_SOCKET": f"@pnyx-test-{os.getpid()}"}).tell(READY)
        assert listening.recv(100) == b"READY=1"


def test_without_a_manager_and_with_one_that_is_gone_nothing_happens(tmp_path: Path) -> None:
    ServiceManager({}).tell(READY)
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell(READY)


async def test_signs_of_life_come_twice_in_the_time_that_the_manager_waits(
    manager_socket: socket.socket, autojump_clock: trio.testing.MockClock
) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": manager_socket.getsockname(), "WATCHDOG_USEC": "60000000"})
    with trio.move_on_after(119):
        await manager.run_watchdog()
    assert [manager_socket.recv(100) for _ in range(4)] == [ALIVE.encode()] * 4
    manager_socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager_socket.recv(100)


@pytest.mark.parametrize(
    "environment",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}],
)
async def test_without_a_watchdog_of_this_process_there_are_no_signs(environment: dict[str, str]) -> None:
    manager = ServiceManager(environment)
    assert manager.watchdog_s is None
    with trio.fail_after(10):
        await manager.run_watchdog()


def read_unit(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
    parser.read_string(text)
    return parser


def test_the_unit_runs_this_program_on_this_home() -> None:
    unit = read_unit(format_unit(Path("/var/lib/pnyx"), program=Path("/opt/pnyx/bin/pnyx"), user="pnyx"))
    service = unit["Service"]
    assert service["ExecStart"] == "/opt/pnyx/bin/pnyx run --home /var/lib/pnyx --log-format json"
    assert (service["Type"], service["User"]) == ("notify", "pnyx")
    assert service["ReadWritePaths"] == "/var/lib/pnyx"
    assert service["ProtectHome"] == "yes"


def test_a_home_among_peoples_homes_is_not_hidden_from_its_own_service() -> None:
    text = format_unit(Path("/home") / "alice/.pnyx", program=Path("/opt/pnyx/bin/pnyx"), user="alice")
    assert "ProtectHome" not in text
