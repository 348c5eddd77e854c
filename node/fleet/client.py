"""How commands reach the supervisor of a testnet, start one that outlives them, and end one that is past asking."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from node.control import call, open_request
from node.errors import DaemonUnreachable, HomeLocked, NodeError
from node.home import HomeLock, HomePaths
from node.json_values import JsonObject, get_object
from node.testnet import NodeSpec

LOG_NAME: Final = "testnet.log"
START_WAIT_S: Final = 30.0
STOP_WAIT_S: Final = 30.0
"""More than a daemon gets to end by itself."""
EXIT_WAIT_S: Final = 1.0
"""How long a supervisor whose connection has ended may take to end itself."""
KILL_WAIT_S: Final = 10.0
POLL_INTERVAL_S: Final = 0.05


async def ask_supervisor(directory: Path, request: JsonObject) -> JsonObject:
    """Return the supervisor's answer.

    Raises:
        DaemonUnreachable: The testnet is not up.
        NodeError: The supervisor refused, or a daemon did not come up.
    """
    try:
        return get_object(await call(directory, request))
    except DaemonUnreachable as error:
        raise DaemonUnreachable(f"the testnet is not up; start it with: pnyx testnet up {directory}") from error


async def ensure_supervisor(directory: Path) -> None:
    """Start a supervisor that goes on when this process ends, unless one runs.

    Raises:
        NodeError: It did not come up, or something else uses the directory; the message says which.
    """
    if await _is_answering(directory):
        return
    process = _start_supervisor(directory)
    with trio.move_on_after(START_WAIT_S):
        while process.poll() is None:
            if await _is_answering(directory):
                return
            await trio.sleep(POLL_INTERVAL_S)
    last = (directory / LOG_NAME).read_text(encoding="utf-8", errors="replace").rstrip().rpartition("\n")[2]
    raise NodeError(f"the testnet's supervisor did not come up: {last} (its log is {directory / LOG_NAME})")


async def stop_supervisor(directory: Path, specs: tuple[NodeSpec, ...]) -> bool:
    """End a testnet, and return once nothing of it runs: whether something did.

    A supervisor that does not answer or does not end is killed, and its daemons with it.

    Raises:
        NodeError: Something holds on to the directory or to a home even so.
    """
    was_up = _is_locked(directory)
    if was_up:
        await _end_supervisor(directory)
    await _wait_unlocked([directory, *(spec.home for spec in specs)])
    return was_up


async def _end_supervisor(directory: Path) -> None:
    with trio.move_on_after(STOP_WAIT_S), suppress(DaemonUnreachable):
        async with open_request(directory, {"command": "stop"}) as client:
            # There is no answer; the supervisor ends, and the connection with it.
            await client.read_result()
    with trio.move_on_after(EXIT_WAIT_S):
        while _is_locked(directory):
            await trio.sleep(POLL_INTERVAL_S)
        return
    _kill_holder(directory)


def _start_supervisor(directory: Path) -> "subprocess.Popen[bytes]":
    with (directory / LOG_NAME).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "cli", "testnet", "supervise", str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


async def _is_answering(directory: Path) -> bool:
    try:
        async with open_request(directory, {"command": "status"}):
            return True
    except DaemonUnreachable:
        return False


async def _wait_unlocked(directories: list[Path]) -> None:
    with trio.move_on_after(KILL_WAIT_S):
        while any(_is_locked(directory) for directory in directories):
            await trio.sleep(POLL_INTERVAL_S)
        return
    held = next(directory for directory in directories if _is_locked(directory))
    raise NodeError(f"process {_read_holder(held)} still uses {held}: it is none of this testnet's, end it yourself")


def _is_locked(directory: Path) -> bool:
    try:
        HomeLock(HomePaths(root=directory)).close()
    except HomeLocked:
        return True
    return False


def _read_holder(directory: Path) -> int:
    text = HomePaths(root=directory).lock.read_text(encoding="ascii", errors="replace").strip()
    return int(text) if text.isdigit() else 0


def _kill_holder(directory: Path) -> None:
    """Kill the process that holds a directory's lock, and no other that may have got its number since."""
    pid = _read_holder(directory)
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            # The descriptor stays with the process; who holds the lock has written its number there.
            if _is_locked(directory) and _read_holder(directory) == pid:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)
