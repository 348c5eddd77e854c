"""Keeps a worker from outliving its daemon, however the daemon ends.

Two lines, because each has a gap: the end of standard input is noticed by a Python thread, which a task may starve by
holding the interpreter's lock; the parent-death signal is the kernel's, and exists on Linux only.
"""

import ctypes
import os
import signal
import sys
from typing import Final, NoReturn

_PR_SET_PDEATHSIG: Final = 1


def tie_to_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process when the thread that started it ends (prctl(2), PR_SET_PDEATHSIG).

    Args:
        parent_pid: Of the daemon, which must have started this process from its main thread.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The daemon may have died before the request was in force, and then nobody would send the signal.
    if os.getppid() != parent_pid:
        end_process_group()


def end_process_group() -> NoReturn:
    """Kill this process at once, with everything that its task has started."""
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)
