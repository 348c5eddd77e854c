"""Keeps a worker from outliving its daemon, and a rank its worker, however they end.

Two lines, because each has a gap: the end of input is noticed by a Python thread, which a task may starve by holding
the interpreter's lock; the parent-death signal is the kernel's, and exists on Linux only.
"""

import ctypes
import os
import signal
import sys
from typing import Final, NoReturn

_PR_SET_PDEATHSIG: Final = 1
# Loaded ahead of any fork: in a child, another thread's lock on the loader would stay locked.
_libc = ctypes.CDLL(None, use_errno=True)


def tie_to_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process when the thread that started it ends (prctl(2), PR_SET_PDEATHSIG).

    Args:
        parent_pid: Of whoever started this process, from a thread that lives as long as itself.
    """
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have died before the request was in force, and then nobody would send the signal.
    if os.getppid() != parent_pid:
        end_process_group()


def end_process_group() -> NoReturn:
    """Kill this process at once, with everything that its task has started."""
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)
