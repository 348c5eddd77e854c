"""Whether a daemon runs on the home, and what it says of itself and of its peers."""

import fcntl
import os
import time
from dataclasses import dataclass
from typing import Final

import psutil
import trio

from node.control import call
from node.doctor.findings import Finding, fail, ok, warn
from node.errors import NodeError
from node.home import HomePaths
from node.json_values import JsonObject, get_int, get_list, get_object

ANSWER_S: Final = 10.0
START_S: Final = 600.0
"""More than a daemon takes from its first line to the moment from which it counts."""
WORKER_MODULE: Final = "node.worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonFacts:
    """What is known of the daemon on a home."""

    holder: str | None
    """The process that holds the home's lock, as the lock tells; None if nobody does."""
    status: JsonObject | None = None
    """What it answers; None if it does not."""
    peers: tuple[JsonObject, ...] = ()
    pid: int | None = None
    """Its process; None if it does not run, or is a container's, where processes are counted anew."""
    worker_pid: int | None = None
    """Its worker's process, if there is one."""

    @property
    def is_running(self) -> bool:
        """Whether the home is in use."""
        return self.holder is not None


async def gather_daemon(paths: HomePaths) -> DaemonFacts:
    """Ask the daemon, if there is one."""
    holder = _find_holder(paths)
    if holder is None:
        return DaemonFacts(holder=None)
    with trio.move_on_after(ANSWER_S):
        try:
            status = get_object(await call(paths.root, {"command": "status"}))
            peers = get_list(await call(paths.root, {"command": "peers"}))
        except (NodeError, ValueError):
            return DaemonFacts(holder=holder)
        pid = _find_process(status)
        return DaemonFacts(
            holder=holder,
            status=status,
            peers=tuple(map(get_object, peers)),
            pid=pid,
            worker_pid=None if pid is None else _find_worker(pid),
        )
    return DaemonFacts(holder=holder)


def _find_holder(paths: HomePaths) -> str | None:
    """Return who holds the lock; it is tried for a moment, shared, and the file is not touched."""
    if not paths.lock.is_file() or not os.access(paths.lock, os.R_OK):
        return None
    descriptor = os.open(paths.lock, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
    finally:
        os.close(descriptor)
    return None


def _find_process(status: JsonObject) -> int | None:
    """Return the daemon's process, if the one of its number was started when the daemon says."""
    pid, uptime_s = get_int(status["pid"]), get_int(status["uptime_ms"]) / 1_000
    try:
        age_s = time.time() - psutil.Process(pid).create_time()
    except psutil.Error:
        return None
    return pid if 0 <= age_s - uptime_s + START_S < 2 * START_S else None


def _find_worker(pid: int) -> int | None:
    try:
        children = psutil.Process(pid).children()
        return next((child.pid for child in children if WORKER_MODULE in child.cmdline()), None)
    except psutil.Error:
        return None


def check_daemon(facts: DaemonFacts) -> Finding:
    """Check that the daemon answers, and that it votes."""
    if not facts.is_running:
        return ok("daemon", "no daemon runs on this home: what follows is what a start would find")
    if facts.status is None:
        return fail(
            "daemon",
            f"process {facts.holder} holds this home and does not answer: if it was just started, wait; if not, look at"
            " its log and end it",
        )
    if facts.status["is_voting"] is not True:
        reason = facts.status["not_voting_reason"]
        return warn("daemon", f"process {facts.holder} casts no votes in consensus: {reason}")
    return ok("daemon", f"process {facts.holder} runs at height {facts.status['height']} and votes")
