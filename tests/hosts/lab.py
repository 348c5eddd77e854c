"""Machines made of namespaces: each has an address, a name, processes, and an /etc and a /var of its own.

A bridge in one more namespace joins them. Everything hangs on processes that the kernel ends with this one, so that
nothing of a lab outlives it. It takes root with CAP_SYS_ADMIN and CAP_NET_ADMIN, iproute2 and util-linux.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import psutil

from node.processes import build_parent_watch
from tests.tidiness import ROOT

SYSTEMCTL = ROOT / "tests/hosts/systemctl.py"
COMMAND_TIMEOUT_S = 300.0

# What a machine has of its own hides what the real one has there.
SET_UP = """
set -eu
hostname "$1"
mount --bind "$2/etc" /etc
mount --bind "$2/var" /var
ip link set lo up
echo ready
exec sleep infinity
"""
# One shell after another; what one exports, and where it goes, the next one finds.
RUN = """
set -euo pipefail
cd "$1/work"
if [ -f "$2" ]; then . "$2"; fi
. "$1/block"
{ export -p; printf 'cd %q\\n' "$PWD"; } > "$2"
"""


class LabError(Exception):
    """A machine could not be made, or a command on one failed."""


@cache
def find_obstacle() -> str | None:
    """Return why no lab can be made here, in one line; None if one can."""
    missing = [name for name in ("ip", "unshare", "nsenter", "mount", "useradd") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} missing: on Debian, apt-get install iproute2 util-linux passwd"
    trial = "ip link add name br0 type bridge && ip link add name a type veth peer name b && mount --bind /mnt /srv"
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "sh", "-c", trial],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = " ".join(tried.stderr.split())
    return None if tried.returncode == 0 else f"no network namespaces ({said}): run as root, where they are allowed"


class Host:
    """One machine."""

    def __init__(self, name: str, folder: Path, pid: int) -> None:
        self.name = name
        self.folder = folder
        """Its part of the real file system; ``work`` is where its commands begin."""
        self._pid = pid

    @property
    def work(self) -> Path:
        """Where its commands are run, seen from outside."""
        return self.folder / "work"

    def run(self, script: str, *, user: str = "pnyx") -> "subprocess.CompletedProcess[str]":
        """Run a script as a user would who is logged in at the machine.

        All have root's rights, since this checkout may be nobody else's to read, but a shell of their own.
        """
        (self.folder / "block").write_text(script, encoding="utf-8")
        shell = ("bash", "-c", RUN, "bash", str(self.folder), str(self.folder / f"shell-{user}"))
        return subprocess.run(
            ["nsenter", f"--target={self._pid}", "--net", "--mount", "--uts", "--pid", "--", *shell],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_TIMEOUT_S,
            env=_build_environment(self.folder.parent / "bin"),
        )


@contextmanager
def open_lab(folder: Path, addresses: Mapping[str, str]) -> Iterator[dict[str, Host]]:
    """Give machines by name, each with its IPv4 address; at the end none of their processes runs."""
    _install_programs(folder / "bin")
    with ExitStack() as running:
        bridge = running.enter_context(_open_namespaces("--net", script="echo ready; exec sleep infinity"))
        _enter(bridge, "ip link add name br0 type bridge && ip link set br0 up")
        hosts = {}
        for index, (name, address) in enumerate(addresses.items()):
            place = folder / name
            for part in ("work", "var/lib", "var/log", "var/tmp"):
                (place / part).mkdir(parents=True)
            shutil.copytree("/etc", place / "etc", symlinks=True, ignore_dangling_symlinks=True)
            pid = running.enter_context(
                _open_namespaces(
                    *("--net", "--mount", "--uts", "--pid", "--mount-proc"), script=SET_UP, arguments=(name, str(place))
                )
            )
            port = f"port{index}"
            _enter(bridge, f"ip link add name {port} type veth peer name eth0 netns {pid}")
            _enter(bridge, f"ip link set {port} master br0 up")
            _enter(pid, f"ip addr add {address}/32 dev eth0 && ip link set eth0 up && ip route add default dev eth0")
            hosts[name] = Host(name, place, pid)
        yield hosts


@contextmanager
def _open_namespaces(*kinds: str, script: str, arguments: tuple[str, ...] = ()) -> Iterator[int]:
    """Give the process id of the first process in new namespaces; it ends, and with it whatever runs there."""
    process = subprocess.Popen(
        ["unshare", *kinds, "--fork", "--kill-child", "sh", "-c", script, "sh", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=build_parent_watch(signal.SIGKILL),  # noqa: PLW1509 - it makes two system calls and takes no lock
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise LabError(process.communicate()[1])
        (child,) = psutil.Process(process.pid).children()
        yield child.pid
    finally:
        process.kill()
        process.communicate()


def _enter(pid: int, script: str) -> None:
    done = subprocess.run(
        ["nsenter", f"--target={pid}", "--net", "--", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise LabError(f"{script}: {done.stderr}")


def _install_programs(folder: Path) -> None:
    """Write what machines have of this checkout: pnyx, and a service manager."""
    folder.mkdir()
    for name, arguments in (("pnyx", ("-m", "cli")), ("systemctl", (str(SYSTEMCTL),))):
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {" ".join(arguments)} "$@"\n', encoding="utf-8")
        program.chmod(0o755)


def _build_environment(programs: Path) -> dict[str, str]:
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "LANG": "C.UTF-8",
        "HOME": "/var/tmp",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    }
