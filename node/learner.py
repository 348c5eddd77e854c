"""Supervises the worker process: the real implementation of the port Learner.

One request at a time; a deadline on each; a worker that dies, hangs or is abandoned in the middle of a request is
killed and another started, after a pause that grows with consecutive failures. A task that merely raises costs nothing
but its own request. The worker's memory of the task is rebuilt by every start, so nothing is lost with it.
"""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import structlog
import trio

from node.attacks.kinds import AttackKind
from node.errors import ConfigError, WorkerFailed
from node.ports import Candidate, Training
from node.worker.messages import (
    AggregateUpdates,
    CheckTask,
    DescribeTask,
    EvaluateModel,
    LoadTask,
    ModelEvaluated,
    ModelTrained,
    Reply,
    Request,
    RequestFailed,
    ScreenUpdate,
    SetupError,
    TaskChecked,
    TaskDescribed,
    TaskLoaded,
    TrainModel,
    UpdatesAggregated,
    UpdateSource,
)
from node.worker.process import WorkerGone, WorkerProcess
from protocol.learning.artifact_format import ModelSchema
from protocol.parameters import AggregationChoice
from protocol.units import Digest, Millis, Ppm

_Expected = TypeVar(
    "_Expected", TaskLoaded, TaskDescribed, ModelTrained, UpdatesAggregated, ModelEvaluated, TaskChecked
)

_BACK_OFF_FIRST_S = 0.5
_BACK_OFF_MAX_S = 30.0

_log = structlog.get_logger("learner")


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerSettings:
    """What a worker is told, and how long it may take."""

    task: str
    """As in the genesis document: a bundled task's name, an entry point's, or ``module:Class``."""
    parameters: tuple[tuple[str, str], ...]
    """As in the genesis document. ``split`` and ``seed`` say how a bundled task deals its data."""
    member_index: int
    """Which part of dealt data is this member's, 0-based."""
    member_count: int
    """How many parts there are: as many as founders."""
    aggregation: AggregationChoice
    schema: ModelSchema | None
    """The genesis document's; None while there is none, for :meth:`WorkerLearner.describe`."""
    attack: AttackKind = AttackKind.NONE
    attack_strength: float = 4.0
    device: str = "cpu"
    thread_count: int = 1
    local: tuple[tuple[str, str], ...] = ()
    """What only this member's task is told."""
    launcher: str = ""
    """Starts the processes that train together; empty if the worker trains by itself."""
    search_paths: tuple[Path, ...] = ()
    """Folders in which the worker finds an own task's module."""
    timeout_start_ms: Millis = Millis(300_000)
    """For a worker to start and to load the task and its data."""
    timeout_request_ms: Millis = Millis(600_000)
    """For one training, aggregation, evaluation or screening of one update."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDescription:
    """What a genesis document needs to know of a task."""

    schema: ModelSchema
    model_digest: Digest
    """Of the initial model's artifact."""
    model_bytes: int
    """The artifact's size."""


class WorkerLearner:
    """A Learner whose work is done by a supervised process; made by :func:`open_learner`."""

    def __init__(
        self, settings: LearnerSettings, nursery: trio.Nursery, log: IO[bytes] | None, rank_folder: str
    ) -> None:
        """Start nothing yet.

        Args:
            settings: What the worker is told.
            nursery: Restarts run in it.
            log: Where workers' standard error goes; None is the daemon's own.
            rank_folder: Where each worker gets a folder for its ranks, if there is a launcher.
        """
        self._settings = settings
        self._rank_folder = Path(rank_folder)
        self._nursery = nursery
        self._log = log
        self._lock = trio.Lock()
        self._process: WorkerProcess | None = None
        self._failure_count = 0
        self._start_not_before = -1.0
        self._load_failure: str | None = None
        self._start_count = 0
        self._is_closed = False

    async def describe(self, *, initial_model: Path) -> TaskDescription:
        """Write the task's initial model to a path and return what a genesis document needs.

        Raises:
            WorkerFailed: The task cannot be loaded, or its model cannot be shared.
        """
        described = await self._request(DescribeTask(initial_model=str(initial_model)), TaskDescribed)
        return TaskDescription(
            schema=described.schema, model_digest=described.model_digest, model_bytes=described.model_bytes
        )

    async def check(self, *, folder: Path) -> TaskChecked:
        """Try one round of the task by itself, with its artifacts in an empty folder.

        Raises:
            WorkerFailed: The task cannot be loaded, or a node could not do this round.
        """
        return await self._request(CheckTask(folder=str(folder)), TaskChecked)

    async def train(self, *, round_number: int, base: Path, update: Path) -> Training:
        """Train as the port says."""
        request = TrainModel(round_number=round_number, base=str(base), update=str(update))
        trained = await self._request(request, ModelTrained)
        return Training(
            scale_exponents=trained.scale_exponents,
            example_count=trained.example_count,
            train_ms=Millis(trained.train_ms),
        )

    async def aggregate(
        self, *, base: Path, updates: Sequence[tuple[Path, tuple[int, ...]]], candidate: Path
    ) -> Candidate:
        """Aggregate as the port says.

        Raises:
            WorkerFailed: An artifact is damaged, the disk is full, or the worker died or hung.
        """
        sources = tuple(UpdateSource(path=str(path), scale_exponents=exponents) for path, exponents in updates)
        request = AggregateUpdates(base=str(base), updates=sources, candidate=str(candidate))
        return Candidate(digest=(await self._request(request, UpdatesAggregated)).digest)

    async def evaluate(self, *, model: Path, base: Path | None = None) -> Ppm:
        """Evaluate as the port says."""
        request = EvaluateModel(model=str(model), base="" if base is None else str(base))
        return (await self._request(request, ModelEvaluated)).score

    async def screen(self, *, base: Path, update: Path, scale_exponents: tuple[int, ...]) -> Ppm:
        """Screen as the port says."""
        source = UpdateSource(path=str(update), scale_exponents=scale_exponents)
        return (await self._request(ScreenUpdate(base=str(base), update=source), ModelEvaluated)).score

    async def warm_up(self) -> None:
        """Start the worker ahead of its first request; a failure is logged and met again by that request.

        Raises:
            ConfigError: The settings do not fit this machine, which is found at the first start only.
        """
        try:
            async with self._lock:
                await self._get_ready_process()
        except WorkerFailed as error:
            if not self._is_closed:
                _log.warning("worker_start_failed", reason=str(error))

    def get_rss_bytes(self) -> int:
        """Return the memory of the worker and its children, in bytes; 0 while there is none."""
        return 0 if self._process is None else self._process.get_rss_bytes()

    def get_start_count(self) -> int:
        """Return how many workers were started; above 1, some have died."""
        return self._start_count

    def get_worker_pid(self) -> int | None:
        """Return the worker's process id, if there is one."""
        return None if self._process is None else self._process.pid

    async def close(self) -> None:
        """Kill the worker; a request that waits for it fails, and so does every later one."""
        self._is_closed = True
        process, self._process = self._process, None
        if process is not None:
            await process.kill()

    async def _request(self, request: Request, expected: type[_Expected]) -> _Expected:
        async with self._lock:
            process = await self._get_ready_process()
            reply = await self._exchange(process, request, self._settings.timeout_request_ms)
            self._failure_count = 0
            return _check_reply(request, reply, expected)

    async def _get_ready_process(self) -> WorkerProcess:
        """Return a worker that has loaded the task; the lock must be held.

        Waits out the pause after a failure, but repeats a failure to load at once: whoever asks next learns the cause
        without waiting for it to be found again.
        """
        if self._is_closed:
            raise WorkerFailed("the learner is closed")
        if self._process is not None and self._process.has_ended():
            await self._discard(self._process)
        if self._process is not None:
            return self._process
        started = trio.current_time()
        if self._load_failure is not None and started < self._start_not_before:
            raise WorkerFailed(self._load_failure)
        await trio.sleep_until(max(started, self._start_not_before))
        process = self._process = WorkerProcess(
            search_paths=self._settings.search_paths, thread_count=self._settings.thread_count, log=self._log
        )
        self._start_count += 1
        try:
            await self._load(process)
        except WorkerFailed as error:
            self._load_failure = str(error)
            raise
        self._load_failure = None
        start_ms = round((trio.current_time() - started) * 1_000)
        _log.info("worker_started", pid=process.pid, start_ms=start_ms, rss_mb=process.get_rss_bytes() >> 20)
        return process

    async def _load(self, process: WorkerProcess) -> None:
        request = _build_load_request(self._settings, self._make_rank_folder())
        reply = await self._exchange(process, request, self._settings.timeout_start_ms)
        if isinstance(reply, RequestFailed) and reply.kind == SetupError.__name__ and self._start_count == 1:
            # Later it is a machine that has lost something, and a node that cannot train still keeps the ledger.
            raise ConfigError(reply.message)
        try:
            _check_reply(request, reply, TaskLoaded)
        except WorkerFailed:
            # The process is well, but without a task it is of no use; the cause may be mended while the daemon runs.
            await self._discard(process)
            raise

    def _make_rank_folder(self) -> str:
        if not self._settings.launcher:
            return ""
        return tempfile.mkdtemp(dir=self._rank_folder)

    async def _exchange(self, process: WorkerProcess, request: Request, timeout_ms: Millis) -> Reply:
        """Return the reply to a request; whenever there is none, the process is killed.

        Raises:
            WorkerFailed: It took too long, or the worker died.
        """
        name = type(request).__name__
        is_answered = False
        try:
            with trio.fail_after(timeout_ms / 1_000):
                reply = await process.exchange(request)
            is_answered = True
            return reply
        except trio.TooSlowError:
            raise WorkerFailed(f"{name} took longer than {timeout_ms} ms, so the worker was killed") from None
        except WorkerGone as error:
            raise WorkerFailed(f"{name}: {error}") from error
        finally:
            if not is_answered and not self._is_closed:
                await self._discard(process)
                self._nursery.start_soon(self.warm_up)

    async def _discard(self, process: WorkerProcess) -> None:
        """Kill a worker and postpone the next start."""
        self._process = None
        pause_s = min(_BACK_OFF_FIRST_S * 2.0**self._failure_count, _BACK_OFF_MAX_S)
        self._start_not_before = trio.current_time() + pause_s
        self._failure_count = min(self._failure_count + 1, 16)
        _log.warning("worker_discarded", pid=process.pid, next_start_in_ms=round(pause_s * 1_000))
        await process.kill()


@asynccontextmanager
async def open_learner(settings: LearnerSettings, *, log_path: Path | None = None) -> AsyncIterator[WorkerLearner]:
    """Open a learner, starting its worker in the background; leaving the block kills the worker.

    Call it from the main thread: the kernel ties the worker's life to the thread that starts it.

    Args:
        settings: What the worker is told.
        log_path: A file that workers' standard error is added to; None is the daemon's own.
    """
    with ExitStack() as stack:
        log = None if log_path is None else stack.enter_context(log_path.open("ab"))
        # Removed by this process and not by the worker, which is killed.
        rank_folder = stack.enter_context(_make_rank_folder()) if settings.launcher else ""
        async with trio.open_nursery() as nursery:
            learner = WorkerLearner(settings, nursery, log, rank_folder)
            try:
                nursery.start_soon(learner.warm_up)
                yield learner
            finally:
                nursery.cancel_scope.cancel()
                await learner.close()


def _make_rank_folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="pnyx-ranks-", ignore_cleanup_errors=True)


def _build_load_request(settings: LearnerSettings, rank_folder: str) -> LoadTask:
    return LoadTask(
        task=settings.task,
        parameters=settings.parameters,
        member_index=settings.member_index,
        member_count=settings.member_count,
        aggregation=settings.aggregation,
        schema=settings.schema,
        attack=settings.attack.value,
        attack_strength_ppm=round(settings.attack_strength * 1_000_000),
        device=settings.device,
        thread_count=settings.thread_count,
        local=settings.local,
        launcher=settings.launcher,
        rank_folder=rank_folder,
    )


def _check_reply(request: Request, reply: Reply, expected: type[_Expected]) -> _Expected:
    if isinstance(reply, RequestFailed):
        raise WorkerFailed(f"{type(request).__name__}: {reply.kind}: {reply.message}")
    if not isinstance(reply, expected):
        raise WorkerFailed(
            f"{type(request).__name__} was answered by {type(reply).__name__}: reinstall pnyx, then restart"
        )
    return reply
