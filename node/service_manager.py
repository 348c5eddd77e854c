"""Tells the service manager how the daemon is, by systemd's notification protocol (sd_notify(3)); without one, nobody.

A datagram to the socket that NOTIFY_SOCKET names. With a watchdog configured, the manager restarts a daemon whose event
loop has stopped turning.
"""

import os
import socket
from collections.abc import Mapping
from typing import Final

import structlog
import trio

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
ALIVE: Final = "WATCHDOG=1"

_log = structlog.get_logger(__name__)


class ServiceManager:
    """Whoever started this process, if it wants to hear of it."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Read where the manager listens."""
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._watchdog_us = _read_watchdog(environment)

    @property
    def watchdog_s(self) -> float | None:
        """How long the manager waits for a sign of life, in seconds; None if it wants none."""
        return None if self._watchdog_us is None else self._watchdog_us / 1_000_000

    def tell(self, state: str) -> None:
        """Send one state; never waits, and a manager that cannot be told is logged and no reason to stop."""
        if not self._address:
            return
        # A name that begins with @ is in Linux's abstract space, where it begins with a zero byte.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        try:
            with socket.socket(socket.AF_UNIX, kind) as sender:
                sender.sendto(state.encode(), address)
        except OSError as error:
            _log.warning("service_manager_not_told", state=state, reason=str(error))

    async def run_watchdog(self) -> None:
        """Give signs of life until cancelled, twice as often as the manager asks for; without a watchdog, none."""
        if self.watchdog_s is None:
            return
        while True:
            self.tell(ALIVE)
            await trio.sleep(self.watchdog_s / 2)


def _read_watchdog(environment: Mapping[str, str]) -> int | None:
    text, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not text.isdecimal() or int(text) == 0 or pid not in {"", str(os.getpid())}:
        return None
    return int(text)
