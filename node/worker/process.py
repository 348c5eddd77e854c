"""The daemon's end of one worker process: starting it, one exchange of frames at a time, and killing it.

Never imported by the worker itself. What to do when a worker fails is :mod:`node.learner`'s decision.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

import trio

import node
from node.processes import compute_rss_bytes, signal_group, wait_child
from node.worker.messages import FRAME_BYTES_MAX, FRAME_LENGTH_BYTES, Reply, Request, decode_reply, encode_request
from protocol.errors import MalformedMessage

_END_GRACE_S: Final = 2.0
"""A process whose pipes are closed is about to end; this long is waited to learn how."""


class WorkerGone(Exception):
    """The worker closed its end or broke the framing; the message says how it ended. Kill it and start another."""


class WorkerProcess:
    """A running worker."""

    def __init__(self, *, search_paths: tuple[Path, ...], thread_count: int, log: IO[bytes] | None) -> None:
        """Start the process; call it from the main thread, which the worker's life is tied to.

        Args:
            search_paths: Folders in which the worker finds an institution's own task.
            thread_count: For the numerical libraries, which read it from the environment when they load.
            log: Where the worker's standard error goes; None is the daemon's own.
        """
        self._popen = subprocess.Popen(
            # -P, because a folder that happens to be the current one must not replace installed modules.
            [sys.executable, "-P", "-m", "node.worker", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=_build_environment(os.environ, search_paths, thread_count),
            process_group=0,
        )
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._requests = trio.lowlevel.FdStream(os.dup(self._popen.stdin.fileno()))
        self._replies = trio.lowlevel.FdStream(os.dup(self._popen.stdout.fileno()))
        self._popen.stdin.close()
        self._popen.stdout.close()
        self.pid = self._popen.pid

    async def exchange(self, request: Request) -> Reply:
        """Send one request and return its reply. If this is cancelled, the process is of no more use: kill it.

        Raises:
            WorkerGone: The worker ended, or answered with what is no reply.
        """
        try:
            await self._requests.send_all(encode_request(request))
        except trio.BrokenResourceError:
            raise WorkerGone(await self._describe_end()) from None
        except trio.ClosedResourceError:
            raise WorkerGone("the worker was killed on purpose") from None
        length = int.from_bytes(await self._receive_exactly(FRAME_LENGTH_BYTES), "little")
        if length > FRAME_BYTES_MAX:
            raise WorkerGone(f"the worker sent a frame of {length} bytes")
        try:
            return decode_reply(await self._receive_exactly(length))
        except MalformedMessage as error:
            raise WorkerGone(f"the worker sent what is no reply: {error}") from error

    async def kill(self) -> None:
        """End the process and what its task has started, and wait for it; cannot be cancelled."""
        with trio.CancelScope(shield=True):
            if self._popen.returncode is None:
                signal_group(self.pid, signal.SIGKILL)
            await self._requests.aclose()
            await self._replies.aclose()
            await wait_child(self._popen)

    def has_ended(self) -> bool:
        """Return whether the process is no more, for whatever reason."""
        # Not reaped yet, so that its process group's number cannot be taken by another before it is killed.
        return self._popen.returncode is not None or (
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        )

    def get_rss_bytes(self) -> int:
        """Return the memory that the worker and its children hold, in bytes; 0 once it is gone."""
        return compute_rss_bytes([self.pid])

    async def _receive_exactly(self, count: int) -> bytes:
        received = bytearray()
        while len(received) < count:
            try:
                piece = await self._replies.receive_some(count - len(received))
            except trio.ClosedResourceError:
                raise WorkerGone("the worker was killed on purpose") from None
            if not piece:
                raise WorkerGone(await self._describe_end())
            received += piece
        return bytes(received)

    async def _describe_end(self) -> str:
        """Return how the process ended, after it closed its end; a task may have left it half alive."""
        with trio.move_on_after(_END_GRACE_S):
            await wait_child(self._popen)
        if self._popen.returncode is None:
            return "the worker closed its output and went on: does the task close file descriptors?"
        exit_code = self._popen.returncode
        if exit_code == -signal.SIGKILL:
            return "the worker was killed by SIGKILL: look for an out-of-memory message in the system's log"
        if exit_code < 0:
            return f"the worker was killed by {signal.Signals(-exit_code).name}: look at its log"
        return f"the worker ended with exit code {exit_code}: look at its log"


def _build_environment(
    environment: Mapping[str, str], search_paths: tuple[Path, ...], thread_count: int
) -> dict[str, str]:
    here = Path(node.__file__).resolve().parent.parent
    inherited = [environment["PYTHONPATH"]] if environment.get("PYTHONPATH") else []
    secrets = {name for name in environment if name.startswith("PNYX_") and name.endswith("PASSPHRASE")}
    return {
        **{name: value for name, value in environment.items() if name not in secrets},
        "PYTHONPATH": os.pathsep.join([str(here), *map(str, search_paths), *inherited]),
        "OMP_NUM_THREADS": str(thread_count),
        "MKL_NUM_THREADS": str(thread_count),
        "OPENBLAS_NUM_THREADS": str(thread_count),
    }
