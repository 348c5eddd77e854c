"""Stops a daemon and waits until its process is done with its home."""

from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from node.control import open_request
from node.errors import DaemonUnreachable, HomeLocked, NodeError
from node.home import HomeLock, HomePaths

STOP_WAIT_S: Final = 30.0
POLL_INTERVAL_S: Final = 0.05


def stop_daemon(home: Path) -> None:
    """Ask the daemon of a home to stop, and return once the home is free.

    Raises:
        DaemonUnreachable: No daemon runs there.
        NodeError: It did not end in time.
    """
    trio.run(_stop, home)


async def _stop(home: Path) -> None:
    async with open_request(home, {"command": "stop"}) as client:
        # The daemon never answers; it ends, and the connection with it.
        with suppress(DaemonUnreachable):
            await client.read_result()
    with trio.move_on_after(STOP_WAIT_S):
        while _is_locked(home):
            await trio.sleep(POLL_INTERVAL_S)
        return
    raise NodeError(f"the daemon on {home} did not end within {STOP_WAIT_S:.0f} s; look at its log")


def _is_locked(home: Path) -> bool:
    try:
        HomeLock(HomePaths(root=home)).close()
    except HomeLocked:
        return True
    return False
