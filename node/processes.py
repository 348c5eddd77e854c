"""Child processes that never outlive their parent, and what they weigh.

Linux only: the kernel itself signals a child when its parent dies (``PR_SET_PDEATHSIG``, prctl(2)), so that even a
parent killed by SIGKILL leaves nothing running. The kernel means the parent's *thread*: a child must be started from a
thread that lives as long as the process, which trio's own way to open a process (a worker thread) is not.
"""

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Final

import psutil
import trio

_PR_SET_PDEATHSIG: Final = 1
_libc = ctypes.CDLL(None, use_errno=True)


def build_parent_watch(death_signal: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """Return what a child runs between fork and exec, so that the signal reaches it when this process dies."""
    parent_pid = os.getpid()

    def watch_parent() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent_pid:
            os._exit(1)

    return watch_parent


def start_child(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    output: IO[bytes],
    death_signal: signal.Signals = signal.SIGTERM,
) -> "subprocess.Popen[bytes]":
    """Start a process in a session of its own that ends when this process does; call it from the main thread.

    Args:
        command: The program and its arguments.
        environment: All of the child's environment.
        output: Where its stdout and stderr go.
        death_signal: What the child gets when this process dies. A child that may be suspended takes SIGKILL alone.
    """
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=dict(environment),
        start_new_session=True,
        preexec_fn=build_parent_watch(death_signal),  # noqa: PLW1509 - it makes two system calls and takes no lock
    )


async def wait_child(process: "subprocess.Popen[bytes]") -> int:
    """Wait for a child to end and return its exit code; negative for the number of a signal."""
    exit_code = process.poll()
    if exit_code is None:
        descriptor = os.pidfd_open(process.pid)
        try:
            await trio.lowlevel.wait_readable(descriptor)
        finally:
            os.close(descriptor)
        exit_code = process.wait()
    return exit_code


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to the process group that a child leads; nothing happens if it is gone."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def suspend_family(pid: int) -> None:
    """Stop a process and its descendants where they are (SIGSTOP), the process first, so that it starts no more."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.suspend()
        for child in process.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.suspend()


def resume_family(pid: int) -> None:
    """Let a suspended process and its descendants go on (SIGCONT)."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for child in process.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.resume()
        process.resume()


def compute_rss_bytes(pids: Iterable[int]) -> int:
    """Return the memory that processes and their descendants hold, in bytes; pages they share count for each."""
    total = 0
    for pid in pids:
        try:
            process = psutil.Process(pid)
            family = [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
        for member in family:
            try:
                total += member.memory_info().rss
            except psutil.NoSuchProcess:
                continue
    return total
