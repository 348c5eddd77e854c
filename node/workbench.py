"""The workbench: turns orders for training, aggregating, evaluating and fetching into results for the core.

Each order runs as a task of its own and ends in exactly one input, or in none if it became useless; what it needs is
on the disk before the learner sees it, fetched from the members if it has to be. A failure makes this node silent in
one matter (``WorkFailed``) and never stops it; only a full disk does. The learner does one thing at a time, in the
order of asking.
"""

from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias, assert_never

import structlog
import trio

from node.artifacts.fetcher import ArtifactFetcher
from node.artifacts.store import ArtifactStore
from node.durable import discard_file
from node.errors import DiskFailed, StoreCorrupt, WorkerFailed
from node.inbox import Inbox
from node.ports import Learner
from node.timings import Activity, Timings
from protocol.errors import InvalidMessage
from protocol.interface import (
    ArtifactStored,
    CandidateComputed,
    ComputeCandidate,
    EvaluateModel,
    FetchArtifact,
    Input,
    ModelEvaluated,
    ScreeningFailed,
    ScreenUpdate,
    TrainModel,
    UpdateScreened,
    UpdateTrained,
    WorkFailed,
)
from protocol.learning.artifact_format import (
    ModelSchema,
    check_model_header,
    check_update_header,
    compute_model_size_bytes,
    compute_update_size_bytes,
)
from protocol.observations import BlockExecuted, Observation
from protocol.units import Digest, MemberId, Ppm

STALE_GRACE_S: Final = 5.0
"""How long a training may go on after its round is over, since ending it early costs the worker a new start."""

Order: TypeAlias = TrainModel | ComputeCandidate | EvaluateModel | ScreenUpdate | FetchArtifact

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What the workbench works with."""

    learner: Learner
    artifacts: ArtifactStore
    fetcher: ArtifactFetcher
    schema: ModelSchema
    timings: Timings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    order: Order
    scope: trio.CancelScope


class Workbench:
    """Runs the core's orders in the background."""

    def __init__(self, *, inbox: Inbox, tools: Tools) -> None:
        """Take where results go, and what to work with."""
        self._inbox = inbox
        self._tools = tools
        self._jobs: dict[Hashable, _Job] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; takes orders once it reports itself started.

        Raises:
            DiskFull: A result could not be stored.
        """
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                # The driver may finish a batch after this has ended; what it orders then is nobody's business.
                self._nursery = None

    def start(self, order: Order) -> None:
        """Begin with an order, unless the same work is under way; returns at once."""
        key = _get_key(order)
        if self._nursery is None or key in self._jobs:
            return
        job = self._jobs[key] = _Job(order=order, scope=trio.CancelScope())
        self._nursery.start_soon(self._run_job, key, job)

    def forget(self, digests: Iterable[Digest]) -> None:
        """Let go of artifacts that no rule needs any more, and stop fetching them."""
        forgotten = tuple(digests)
        for digest in forgotten:
            # Taken out at once, because the core may ask for it again before the job has ended.
            job = self._jobs.pop(("fetch", digest), None)
            if job is not None:
                job.scope.cancel()
        self._tools.fetcher.forget(forgotten)

    def note_observation(self, observation: Observation) -> None:
        """End trainings whose round has settled, after a moment."""
        if not isinstance(observation, BlockExecuted) or observation.outcome.settled is None:
            return
        settled = observation.outcome.settled.round
        for job in self._jobs.values():
            if isinstance(job.order, TrainModel) and job.order.round <= settled:
                job.scope.deadline = min(job.scope.deadline, trio.current_time() + STALE_GRACE_S)

    async def measure_score(self, model_digest: Digest) -> Ppm:
        """Return a model's score on own held-out data, for people; the core does not learn of it.

        Raises:
            WorkerFailed: The task could not evaluate it.
        """
        return await self._evaluate(await self._get_model(model_digest))

    async def _run_job(self, key: Hashable, job: _Job) -> None:
        event: Input | None = None
        try:
            with job.scope:
                event = await self._do(job.order)
        finally:
            # Before the result is told, because the core may ask for the same work again at once.
            if self._jobs.get(key) is job:
                del self._jobs[key]
        if job.scope.cancelled_caught:
            _log.info("work_dropped", work=type(job.order).__name__)
        if event is not None:
            await self._inbox.put(event)

    async def _do(self, order: Order) -> Input | None:
        match order:
            case FetchArtifact():
                return await self._fetch_ordered(order)
            case TrainModel() | ComputeCandidate() | EvaluateModel():
                try:
                    return await self._learn(order)
                except (WorkerFailed, StoreCorrupt, DiskFailed, InvalidMessage) as error:
                    _log.error("work_failed", work=type(order).__name__, round=order.round, reason=str(error))
                    return WorkFailed(round=order.round, reason=str(error))
            case ScreenUpdate():
                return await self._screen(order)
            case _:
                assert_never(order)

    async def _learn(self, order: TrainModel | ComputeCandidate | EvaluateModel) -> Input:
        match order:
            case TrainModel():
                return await self._train(order)
            case ComputeCandidate():
                return await self._compute_candidate(order)
            case EvaluateModel(model_digest=model_digest, base_digest=base_digest):
                model = await self._get_model(model_digest)
                base = None if base_digest is None else await self._get_model(base_digest)
                return ModelEvaluated(model_digest=model_digest, score=await self._evaluate(model, base=base))
            case _:
                assert_never(order)

    async def _train(self, order: TrainModel) -> UpdateTrained:
        base = await self._get_model(order.base_digest)
        with self._temporary_path() as path:
            with self._tools.timings.measure(Activity.TRAIN):
                training = await self._tools.learner.train(round_number=order.round, base=base, update=path)
            stored = await self._tools.artifacts.adopt(path)
        return UpdateTrained(
            round=order.round,
            base_digest=order.base_digest,
            scale_exponents=training.scale_exponents,
            artifact_digest=stored.digest,
            artifact_bytes=stored.size_bytes,
            example_count=training.example_count,
        )

    async def _compute_candidate(self, order: ComputeCandidate) -> CandidateComputed:
        base = await self._get_model(order.base_digest)
        updates = [(await self._get_update(update.artifact_digest), update.scale_exponents) for update in order.updates]
        with self._temporary_path() as path:
            with self._tools.timings.measure(Activity.AGGREGATE):
                candidate = await self._tools.learner.aggregate(base=base, updates=updates, candidate=path)
            stored = await self._tools.artifacts.adopt(path)
        if stored.digest != candidate.digest:
            raise WorkerFailed("the candidate on disk is not the one that the worker wrote: check the disk")
        return CandidateComputed(
            base_digest=order.base_digest,
            updates=order.updates,
            candidate_digest=stored.digest,
        )

    async def _screen(self, order: ScreenUpdate) -> UpdateScreened | ScreeningFailed:
        """Screen one update; what fails says nothing of it, and the others are screened all the same."""
        digest, exponents = order.update.artifact_digest, order.update.scale_exponents
        try:
            base, update = await self._get_model(order.base_digest), await self._get_update(digest)
            with self._tools.timings.measure(Activity.SCREEN):
                score = await self._tools.learner.screen(base=base, update=update, scale_exponents=exponents)
        except (WorkerFailed, StoreCorrupt, DiskFailed, InvalidMessage) as error:
            reason = str(error)
            return ScreeningFailed(round=order.round, base_digest=order.base_digest, update=order.update, reason=reason)
        return UpdateScreened(base_digest=order.base_digest, update=order.update, score=score)

    async def _evaluate(self, model: Path, *, base: Path | None = None) -> Ppm:
        with self._tools.timings.measure(Activity.EVALUATE):
            return await self._tools.learner.evaluate(model=model, base=base)

    async def _get_model(self, digest: Digest) -> Path:
        size_bytes = compute_model_size_bytes(self._tools.schema)
        return await self._get_artifact(digest, size_bytes, source=None, is_update=False)

    async def _get_update(self, digest: Digest) -> Path:
        size_bytes = compute_update_size_bytes(self._tools.schema)
        return await self._get_artifact(digest, size_bytes, source=None, is_update=True)

    async def _fetch_ordered(self, order: FetchArtifact) -> ArtifactStored | None:
        is_update = order.scale_exponents is not None
        try:
            await self._get_artifact(order.digest, order.bytes_expected, source=order.source, is_update=is_update)
        except (InvalidMessage, StoreCorrupt, DiskFailed) as error:
            _log.warning("artifact_refused", digest=order.digest, source=order.source, reason=str(error))
            return None
        return ArtifactStored(digest=order.digest)

    async def _get_artifact(self, digest: Digest, size_bytes: int, *, source: MemberId | None, is_update: bool) -> Path:
        """Return an artifact's path, fetching it first if it is missing.

        Raises:
            StoreCorrupt: The disk damages what is written to it.
            DiskFailed: The disk fails again and again.
            InvalidMessage: The artifact of this name is no update or model of this chain.
        """
        fetch = partial(
            self._tools.fetcher.fetch,
            digest,
            bytes_expected=size_bytes,
            source=source,
            check=partial(check_update_header if is_update else check_model_header, self._tools.schema),
        )
        try:
            return await fetch()
        except (StoreCorrupt, DiskFailed) as error:
            # Whatever was damaged is gone from the store now, so this time it comes from the members.
            _log.error("artifact_damaged", digest=digest, reason=str(error))
            return await fetch()

    @contextmanager
    def _temporary_path(self) -> Iterator[Path]:
        path = self._tools.artifacts.make_temporary_path()
        try:
            yield path
        finally:
            discard_file(path)


def _get_key(order: Order) -> Hashable:
    """Return what makes two orders the same work: scores and candidates do not depend on the round that asks."""
    match order:
        case TrainModel(round=round_number, base_digest=base_digest):
            return ("train", round_number, base_digest)
        case ComputeCandidate(base_digest=base_digest, updates=updates):
            return ("aggregate", base_digest, updates)
        case EvaluateModel(model_digest=model_digest):
            return ("evaluate", model_digest)
        case ScreenUpdate(base_digest=base_digest, update=update):
            return ("screen", base_digest, update)
        case FetchArtifact(digest=digest):
            return ("fetch", digest)
        case _:
            assert_never(order)
