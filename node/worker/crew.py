"""The worker's side of its ranks: processes that a launcher of torch.distributed starts, and that train together.

They stay between rounds, with the task's data loaded. Whatever goes wrong in one of them ends all, since the others may
wait for it for ever; the next training starts new ones. Ranks end with the launcher, and the launcher with the worker:
who kills the worker kills them all (:mod:`node.worker.lifeline`).
"""

import os
import selectors
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, BinaryIO, Final

from node.worker.lifeline import tie_to_parent
from node.worker.messages import (
    JoinRanks,
    LoadTask,
    ModelTrained,
    RankFailed,
    RanksJoined,
    Reply,
    Request,
    RequestFailed,
    SetupError,
    TrainModel,
    decode_reply,
    encode_request,
    read_frame,
)
from node.worker.rank import is_own_user
from protocol.errors import MalformedMessage

JOIN_TIMEOUT_S: Final = 120.0
"""For all ranks to start and to meet; loading the task comes after it."""
_LAST_WORDS_S: Final = 2.0
"""When a rank fails, others often do because of it; this long they are listened to, to name the first cause."""
_END_S: Final = 10.0
_LOG: Final = 2
"""The descriptor of this process's standard error."""
_RANKS_MAX: Final = 64
_RANK_MODULE: Final = "node.worker.rank"
_OWN_MEETING: Final = ("--standalone", "--rdzv", "--master")
"""Options by which an operator says how torchrun's processes meet."""


@dataclass(frozen=True, slots=True)
class _Rank:
    """A rank's connection."""

    connection: socket.socket
    replies: BinaryIO

    def ask(self, request: Request) -> None:
        """Send a request; a rank that is gone is noticed where its reply is read."""
        with suppress(OSError):
            self.connection.sendall(encode_request(request))

    def read_reply(self) -> Reply | None:
        """Return its reply, or None if it is gone, or says what is none."""
        try:
            payload = read_frame(self.replies)
            return None if payload is None else decode_reply(payload)
        except (OSError, MalformedMessage):
            return None


class Crew:
    """The ranks of one worker."""

    def __init__(self, load: LoadTask) -> None:
        """Start the ranks and let them load the task.

        Args:
            load: As the worker got it, with the schema that it has found.

        Raises:
            SetupError: The launcher cannot be used, and why.
            RankFailed: A rank cannot load the task.
        """
        if load.device not in {"cpu", "cuda"}:
            raise SetupError(
                f'launcher with device = "{load.device}": set device = "cpu", or "cuda", and each rank takes the GPU of'
                " its number"
            )
        self._load = load
        self._start_count = 0
        self._launcher: subprocess.Popen[bytes] | None = None
        self._ranks: list[_Rank] = []
        self._start()

    def train(self, request: TrainModel) -> ModelTrained:
        """Train on all ranks; rank 0 writes the update.

        With a trace asked for, each rank writes its own, with its number at the end of the name.

        Raises:
            RankFailed: A rank raised or died.
        """
        if self._launcher is None or self._launcher.poll() is not None:
            self.close()
            self._start()
        traces = [request.trace and f"{request.trace}{rank}" for rank in range(len(self._ranks))]
        followers = [replace(request, update="", trace=trace) for trace in traces[1:]]
        reply = self._exchange([replace(request, trace=traces[0]), *followers])[0]
        assert isinstance(reply, ModelTrained)
        return reply

    def get_rank_count(self) -> int:
        """Return how many ranks there are; 0 after a failure."""
        return len(self._ranks)

    def close(self) -> None:
        """End the launcher and all ranks, and wait until they are gone."""
        for rank in self._ranks:
            with suppress(OSError):
                rank.connection.shutdown(socket.SHUT_WR)
        if self._launcher is not None:
            self._launcher.kill()
            self._launcher.wait()
        deadline = time.monotonic() + _END_S
        for rank in self._ranks:
            # The kernel closes a rank's end when the rank is gone, and with it what it held of a GPU's memory.
            rank.connection.settimeout(max(deadline - time.monotonic(), 0.01))
            with suppress(OSError):
                while rank.connection.recv(1 << 16):
                    pass
            rank.connection.close()
        self._launcher, self._ranks = None, []

    def _start(self) -> None:
        self._start_count += 1
        is_ready = False
        try:
            devices = self._gather()
            self._exchange([replace(self._load, device=device, launcher="", rank_folder="") for device in devices])
            is_ready = True
        finally:
            if not is_ready:
                self.close()

    def _gather(self) -> list[str]:
        """Start the launcher and wait until all ranks have met; return their devices."""
        name = f"pnyx-{os.urandom(16).hex()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, selectors.DefaultSelector() as selector:
            listener.bind(f"\0{name}")
            listener.listen(_RANKS_MAX)
            log = self._launch(name)
            assert self._launcher is not None
            ending = os.pidfd_open(self._launcher.pid)
            try:
                selector.register(listener, selectors.EVENT_READ)
                selector.register(ending, selectors.EVENT_READ)
                return self._meet(selector, listener, log)
            finally:
                os.close(ending)

    def _launch(self, name: str) -> "_LastLine":
        words = shlex.split(self._load.launcher)
        # Beside this interpreter first: a daemon that is started by its path has no virtual environment in PATH.
        places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        program = shutil.which(words[0], path=places)
        if program is None:
            raise self._blame(f"there is no program {words[0]}: install it, or give its path")
        parent = os.getpid()
        try:
            self._launcher = subprocess.Popen(
                [program, *words[1:], "-m", _RANK_MODULE, name],
                stdin=subprocess.DEVNULL,
                stdout=_LOG,
                stderr=subprocess.PIPE,
                env=_build_environment(words, Path(self._load.rank_folder), self._start_count),
                preexec_fn=lambda: tie_to_parent(parent),  # noqa: PLW1509 - it makes two system calls, takes no lock
            )
        except OSError as error:
            raise self._blame(f"{program} cannot be started: {error.strerror}") from error
        assert self._launcher.stderr is not None
        return _LastLine(self._launcher.stderr)

    def _meet(self, selector: selectors.BaseSelector, listener: socket.socket, log: "_LastLine") -> list[str]:
        assert self._launcher is not None
        met: dict[int, tuple[_Rank, RanksJoined]] = {}
        store = str(Path(self._load.rank_folder) / f"store-{self._start_count}")
        deadline = time.monotonic() + JOIN_TIMEOUT_S
        while True:
            events = selector.select(max(deadline - time.monotonic(), 0.0))
            if not events:
                came = f"{len(self._ranks)} ranks have come after {JOIN_TIMEOUT_S:.0f} s"
                raise self._blame(f"{came}, and not all: does it wait for another machine?")
            # What a rank has to say comes before the launcher's end, which is its consequence.
            for key, _ in sorted(events, key=lambda event: event[0].data is None):
                if key.fileobj is listener:
                    rank = _accept(listener)
                    if rank is not None:
                        self._ranks.append(rank)
                        selector.register(rank.connection, selectors.EVENT_READ, rank)
                        rank.ask(JoinRanks(store=store, device=self._load.device))
                elif key.data is None:
                    raise self._blame(
                        f"it ended with exit code {self._launcher.wait()} before its ranks were ready: {log.get()}"
                    )
                else:
                    selector.unregister(key.fileobj)
                    reply = key.data.read_reply()
                    if isinstance(reply, RequestFailed):
                        raise self._blame(reply.message)
                    if isinstance(reply, RanksJoined):
                        met[reply.rank] = (key.data, reply)
                        if len(met) == reply.rank_count:
                            self._ranks = [met[number][0] for number in sorted(met)]
                            return [met[number][1].device for number in sorted(met)]

    def _exchange(self, requests: Sequence[Request]) -> list[Reply]:
        """Send each rank its request and return their replies; any failure ends all ranks.

        Raises:
            SetupError: A rank cannot work on this machine.
            RankFailed: A rank raised or died.
        """
        replies: dict[int, Reply | None] = {}
        has_failed = False
        with selectors.DefaultSelector() as selector:
            for number, (rank, request) in enumerate(zip(self._ranks, requests, strict=True)):
                rank.ask(request)
                selector.register(rank.connection, selectors.EVENT_READ, number)
            while len(replies) < len(requests):
                events = selector.select(_LAST_WORDS_S if has_failed else None)
                if not events:
                    break
                for key, _ in events:
                    selector.unregister(key.fileobj)
                    reply = replies[key.data] = self._ranks[key.data].read_reply()
                    has_failed |= reply is None or isinstance(reply, RequestFailed)
        if has_failed:
            what = type(requests[0]).__name__
            self.close()
            raise _make_failure(what, replies)
        return [reply for _, reply in sorted(replies.items()) if reply is not None]

    def _blame(self, reason: str) -> SetupError:
        return SetupError(f'launcher = "{self._load.launcher}": {reason}')


class _LastLine:
    """Passes on what the launcher and its ranks say, and keeps the last line that holds words."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._line = ""
        self._thread = threading.Thread(target=self._pass_on, name="ranks' log", daemon=True)
        self._thread.start()

    def get(self) -> str:
        """Return the line, once all is said."""
        self._thread.join(_LAST_WORDS_S)
        return self._line or "it says nothing"

    def _pass_on(self) -> None:
        with self._source:
            for line in self._source:
                os.write(_LOG, line)
                text = " ".join(line.decode("utf-8", "replace").split())
                if any(character.isalpha() for character in text):
                    self._line = text


def _accept(listener: socket.socket) -> _Rank | None:
    """Take a connection; None if another user's process has made it."""
    connection, _ = listener.accept()
    if not is_own_user(connection):
        connection.close()
        return None
    return _Rank(connection, connection.makefile("rb"))


def _make_failure(what: str, replies: Mapping[int, Reply | None]) -> SetupError | RankFailed:
    """Return one error for all that failed: a death comes first, because it makes the others fail.

    Args:
        what: They were asked to do.
        replies: In the order of arrival; None is from a rank that is gone.
    """
    dead = [rank for rank, reply in replies.items() if reply is None]
    failed = [(rank, reply) for rank, reply in replies.items() if isinstance(reply, RequestFailed)]
    for _, reply in failed:
        if reply.kind == SetupError.__name__:
            return SetupError(reply.message)
    if dead:
        return RankFailed(f"rank {dead[0]} died in {what}: look at this node's log")
    rank, reply = failed[0]
    return RankFailed(f"rank {rank}: {reply.kind}: {reply.message}")


def _build_environment(words: Sequence[str], folder: Path, start_count: int) -> dict[str, str]:
    """Return the launcher's environment: nothing of it, nor of its ranks, listens beyond this machine.

    torchrun takes each of its options from a variable too, and prefers the command line's.
    """
    environment = {
        "GLOO_SOCKET_IFNAME": "lo",
        "NCCL_SOCKET_IFNAME": "lo",
        **os.environ,
        # A folder that happens to be the current one must not replace installed modules.
        "PYTHONSAFEPATH": "1",
        "PET_LOG_DIR": str(folder),
    }
    if not any(word.startswith(_OWN_MEETING) for word in words):
        environment |= {
            "PET_RDZV_BACKEND": "c10d",
            "PET_RDZV_CONF": "store_type=file",
            "PET_RDZV_ENDPOINT": str(folder / f"meeting-{start_count}"),
            "PET_RDZV_ID": "pnyx",
            "PET_LOCAL_ADDR": "127.0.0.1",
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        }
    return environment
