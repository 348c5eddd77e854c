"""Checks of the machine: software, disk, clock, open files, ports."""

import ctypes
import platform
import resource
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import psutil
import trio

from node.config import Config
from node.doctor.daemon import DaemonFacts
from node.doctor.findings import Finding, fail, ok, warn
from node.errors import AddressUnavailable, ConfigError
from node.home import HomePaths
from node.http.alerts import DISK_FREE_BYTES_MIN
from node.http.server import open_http_listeners
from node.json_values import get_int, get_object
from node.libp2p_transport.sockets import open_listener, parse_address
from protocol.parameters import Parameters
from protocol.units import Millis

LIBRARIES: Final = ("torch", "libp2p", "trio", "numpy")
"""Whose versions are told; others matter less when somebody asks for help."""
OPEN_FILES_BASE: Final = 256
"""For the database, the worker, the pages' connections and their streams."""
OPEN_FILES_PER_MEMBER: Final = 4
"""Connections that cross, and handshakes of either side."""
_TIME_ERROR: Final = 5
"""What adjtimex(2) returns for a clock that nothing keeps synchronized."""
_TIMEX_BYTES: Final = 512
"""More than a struct timex has on any machine; zeros mean that nothing is to be changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftwareFacts:
    """What is installed."""

    python: str
    pnyx: str | None
    libraries: tuple[tuple[str, str | None], ...]
    """By name; None is not installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFacts:
    """How much room there is."""

    free_bytes: int
    quota_bytes: int
    """What artifacts may take; 0 if there is no limit or no configuration."""
    artifact_bytes: int
    """What they take now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockFacts:
    """What is known of this machine's clock."""

    now_ms: Millis
    ledger_ms: Millis | None
    """The time of the last final block; None if there is none."""
    drift_max_ms: Millis | None
    """The network's bound (C8); None if genesis.json does not tell, and then the usual one counts."""
    is_synchronized: bool | None
    """Whether the kernel says that a time service keeps the clock; None if it may not be asked."""
    behind_ms: Millis = Millis(0)
    ahead_ms: Millis = Millis(0)
    heard_count: int = 0
    """By how many others' clocks the daemon has compared its own; then the two above say how it came out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortFacts:
    """Whether the configured ports can be had, or are held by the daemon."""

    wanted: tuple[str, ...]
    error: str
    """Why one cannot be had; empty if all can."""
    is_running: bool
    missing: tuple[str, ...]
    """Those that the running daemon does not listen on."""


def gather_software() -> SoftwareFacts:
    """Ask for versions, without importing anything."""
    return SoftwareFacts(
        python=platform.python_version(),
        pnyx=_find_version("pnyx"),
        libraries=tuple((name, _find_version(name)) for name in LIBRARIES),
    )


def _find_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def check_software(facts: SoftwareFacts, daemon: DaemonFacts) -> Finding:
    """Check that everything is installed, and that the daemon runs what is."""
    lacking = [name for name, found in (("pnyx", facts.pnyx), *facts.libraries) if found is None]
    if lacking:
        names = ", ".join(lacking)
        return fail("software", f"not installed: {names}; install pnyx again for this Python ({facts.python})")
    running = None if daemon.status is None else str(daemon.status["version"])
    if running not in {None, facts.pnyx}:
        return warn("software", f"the daemon that runs is pnyx {running}, installed is {facts.pnyx}: restart it")
    names = ", ".join(f"{name} {found}" for name, found in (("Python", facts.python), *facts.libraries))
    return ok("software", f"pnyx {facts.pnyx}, {names}")


def gather_disk(paths: HomePaths, config: Config | None) -> DiskFacts:
    """Look at the disk of the home, which may not exist yet."""
    there = next(path for path in (paths.root, *paths.root.absolute().parents) if path.exists())
    return DiskFacts(
        free_bytes=shutil.disk_usage(there).free,
        quota_bytes=0 if config is None else config.artifact_quota_bytes,
        artifact_bytes=sum(map(_measure, paths.artifacts.rglob("*"))),
    )


def _measure(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        # A running daemon forgets artifacts at any moment.
        return 0


def check_disk(facts: DiskFacts) -> Finding:
    """Check that there is room, also for what artifacts may still take."""
    free_mb = facts.free_bytes >> 20
    if facts.free_bytes < DISK_FREE_BYTES_MIN:
        return fail("disk", f"{free_mb} MB of disk are left, and the node stops when none is: free some space")
    growth_bytes = facts.quota_bytes - facts.artifact_bytes
    if growth_bytes > facts.free_bytes:
        return warn(
            "disk",
            f"{free_mb} MB of disk are left, and models may take {growth_bytes >> 20} MB more: lower"
            " artifact_quota_bytes in config.toml, or free some space",
        )
    return ok("disk", f"{free_mb} MB of disk are left")


def read_is_synchronized() -> bool | None:
    """Return whether the kernel says that a time service keeps the clock; None if it may not be asked."""
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)
    try:
        answer = int(ctypes.CDLL(None).adjtimex(timex))
    except AttributeError:
        return None
    return None if answer < 0 else answer != _TIME_ERROR


def gather_clock(
    daemon: DaemonFacts, *, now_ms: Millis, ledger_ms: Millis | None, drift_max_ms: Millis | None
) -> ClockFacts:
    """Take what the daemon has compared, or else what there is without one."""
    compared = {} if daemon.status is None else get_object(daemon.status.get("clock", {}))
    return ClockFacts(
        now_ms=now_ms,
        ledger_ms=ledger_ms,
        drift_max_ms=drift_max_ms,
        is_synchronized=read_is_synchronized(),
        behind_ms=Millis(get_int(compared.get("behind_ms", 0))),
        ahead_ms=Millis(get_int(compared.get("ahead_ms", 0))),
        heard_count=get_int(compared.get("member_count", 0)),
    )


def check_clock(facts: ClockFacts) -> Finding:
    """Compare the clock with the others', with the ledger, and with what the kernel says of it."""
    drift_max_ms = Parameters().clock_drift_max_ms if facts.drift_max_ms is None else facts.drift_max_ms
    bound_ms = drift_max_ms // 2
    advice = "turn on time synchronisation (NTP)"
    if facts.heard_count and max(facts.behind_ms, facts.ahead_ms) > bound_ms:
        way, off_ms = ("behind", facts.behind_ms) if facts.behind_ms > bound_ms else ("ahead of", facts.ahead_ms)
        return fail(
            "clock", f"the clock is {off_ms / 1_000:.1f} s {way} most others' (heard: {facts.heard_count}): {advice}"
        )
    if facts.ledger_ms is not None:
        late_ms = facts.ledger_ms - facts.now_ms
        if late_ms > drift_max_ms:
            return fail("clock", f"the clock is {late_ms / 1_000:.1f} s behind the last block at least: {advice}")
    if facts.heard_count:
        return ok("clock", f"the clock agrees with most others' (heard: {facts.heard_count})")
    if facts.is_synchronized is False:
        return warn("clock", f"the kernel says that nothing keeps the clock synchronized: {advice}")
    if facts.is_synchronized is None:
        return warn("clock", "not checked: the kernel does not tell, and only a running daemon hears others' clocks")
    return ok("clock", "the kernel says that a time service keeps the clock")


async def gather_ports(config: Config, daemon: DaemonFacts) -> PortFacts:
    """Try to have the ports for a moment; if the daemon runs, see whether it has them."""
    wanted = list(config.listen)
    if config.http_port:
        wanted.append(f"{config.http_host} port {config.http_port}")
    if daemon.is_running:
        return PortFacts(wanted=tuple(wanted), error="", is_running=True, missing=_find_missing(config, daemon))
    opened: list[trio.SocketListener] = []
    error = ""
    try:
        for address in config.listen:
            opened += await open_listener(address)
        if config.http_port:
            opened += await open_http_listeners(config.http_host, config.http_port)
    except (AddressUnavailable, ConfigError) as unavailable:
        error = str(unavailable)
    finally:
        for listener in opened:
            listener.socket.close()
    return PortFacts(wanted=tuple(wanted), error=error, is_running=False, missing=())


def _find_missing(config: Config, daemon: DaemonFacts) -> tuple[str, ...]:
    if daemon.pid is None:
        return ()
    try:
        sockets = psutil.Process(daemon.pid).net_connections("tcp")
    except psutil.Error:
        return ()
    found = {entry.laddr.port for entry in sockets if entry.status == psutil.CONN_LISTEN}
    ports = [(address, parse_address(address, config_key="listen")[1]) for address in config.listen]
    if config.http_port:
        ports.append((f"{config.http_host} port {config.http_port}", config.http_port))
    return tuple(name for name, port in ports if port and port not in found)


def check_ports(facts: PortFacts) -> Finding:
    """Check that the ports are free for the daemon, or the daemon's own."""
    names = ", ".join(facts.wanted)
    if facts.error:
        return fail("ports", facts.error)
    if facts.missing:
        missing = ", ".join(facts.missing)
        return warn("ports", f"config.toml names {missing}, and the daemon does not listen there: restart it")
    return ok("ports", f"the daemon listens on {names}" if facts.is_running else f"{names} can be listened on")


def read_open_files_max(pid: int | None) -> int | None:
    """Return how many files a process, or this one, may have open; None if it may not be asked."""
    try:
        return resource.prlimit(pid or 0, resource.RLIMIT_NOFILE)[0]
    except (PermissionError, ProcessLookupError):
        return None


def check_open_files(limit: int | None, member_count: int) -> Finding:
    """Check that a node of so many members may have enough files open."""
    needed = OPEN_FILES_BASE + OPEN_FILES_PER_MEMBER * member_count
    if limit is None:
        return warn("files", "not checked: the daemon belongs to another user; run this as that user")
    if 0 <= limit < needed:
        return warn(
            "files",
            f"{limit} files may be open at a time, and {member_count} members may need {needed}: raise it with"
            f" `ulimit -n {needed}`, or LimitNOFILE= in the systemd unit",
        )
    return ok("files", f"{'any number of' if limit < 0 else limit} files may be open at a time")
