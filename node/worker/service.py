"""What the worker does for each request: the state of one loaded task, and nothing about processes or frames."""

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, assert_never

import numpy as np
import torch
from numpy.typing import NDArray

from node.attacks.kinds import AttackKind
from node.tasks.interface import LocalSettingMissing, Task, TaskContext, TaskError, TrainReport
from node.tasks.loading import load_task_class
from node.worker.artifacts import aggregate_artifacts, iterate_candidate, read_model, write_update
from node.worker.calls import call_train
from node.worker.crew import Crew
from node.worker.devices import open_device
from node.worker.dry_run import Subject, check_task
from node.worker.meeting import join_ranks
from node.worker.messages import (
    AggregateUpdates,
    CheckTask,
    DescribeTask,
    EvaluateModel,
    JoinRanks,
    LoadTask,
    ModelEvaluated,
    ModelTrained,
    Reply,
    Request,
    ScreenUpdate,
    SetupError,
    TaskDescribed,
    TaskLoaded,
    TrainModel,
    UpdatesAggregated,
)
from node.worker.models import ModelTensors, check_same_schema, describe_model, write_initial_model
from node.worker.poison import poison_weights
from node.worker.scoring import NoScore, compute_score_beside_base, compute_score_ppm
from node.worker.traces import Rows, make_trace, save_trace, watch
from protocol.learning.artifact_format import ModelSchema
from protocol.parameters import AggregationChoice
from protocol.units import Ppm

_ATTACK_STREAM: Final = 0x61747461

_log = logging.getLogger("node.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """A task that is ready, with its model kept warm between rounds."""

    task: Task
    context: TaskContext
    model: torch.nn.Module
    tensors: ModelTensors
    schema: ModelSchema
    aggregation: AggregationChoice
    attack: AttackKind
    attack_strength: float
    device: torch.device
    crew: Crew | None
    """Trains instead of this process, if there is a launcher."""


class Service:
    """Handles requests one at a time. What the task or the disk raises passes through; the next request is welcome."""

    def __init__(self) -> None:
        """Start without a task."""
        self._loaded: _Loaded | None = None

    def handle(self, request: Request) -> Reply:
        """Do what a request asks for.

        Raises:
            TaskError: The task is missing or wrong.
            NoScore: The task cannot score a model, nor its base if there is one.
            SetupError: This node's settings ask for what its machine does not have.
            RankFailed: A rank raised or died.
        """
        match request:
            case LoadTask():
                return self._load(request)
            case DescribeTask():
                return self._describe(request)
            case TrainModel():
                return self._train(request)
            case AggregateUpdates():
                return self._aggregate(request)
            case EvaluateModel():
                return self._evaluate(request)
            case ScreenUpdate():
                return self._screen(request)
            case CheckTask(folder=folder):
                loaded = self._get_loaded()
                subject = Subject(
                    task=loaded.task, schema=loaded.schema, device=loaded.device, aggregation=loaded.aggregation
                )
                return check_task(subject, folder=Path(folder), crew=loaded.crew)
            case JoinRanks():
                return join_ranks(request)
            case _:
                assert_never(request)

    def _load(self, request: LoadTask) -> TaskLoaded:
        started = time.monotonic()
        torch.set_num_threads(request.thread_count)
        device = open_device(request.device)
        attack = AttackKind(request.attack)
        context = build_context(request)
        try:
            task = load_task_class(request.task)(context)
        except LocalSettingMissing as error:
            raise SetupError(str(error)) from error
        if attack is AttackKind.LABEL_FLIP:
            task.flip_labels()
        model = task.build_model().to(device)
        schema = describe_model(model)
        if request.schema is not None:
            check_same_schema(request.schema, schema)
        self._loaded = _Loaded(
            task=task,
            context=context,
            model=model,
            tensors=ModelTensors(model, schema),
            schema=schema,
            aggregation=request.aggregation,
            attack=attack,
            attack_strength=request.attack_strength_ppm / 1_000_000,
            device=device,
            crew=Crew(replace(request, schema=schema)) if request.launcher else None,
        )
        return TaskLoaded(load_ms=_compute_elapsed_ms(started))

    def _describe(self, request: DescribeTask) -> TaskDescribed:
        loaded = self._get_loaded()
        # A new model, because the warm one may have been trained since.
        initial = ModelTensors(loaded.task.build_model(), loaded.schema)
        written = write_initial_model(loaded.schema, Path(request.initial_model), initial)
        return TaskDescribed(schema=loaded.schema, model_digest=written.digest, model_bytes=written.size_bytes)

    def _train(self, request: TrainModel) -> ModelTrained:
        started = time.monotonic()
        loaded = self._get_loaded()
        if loaded.crew is not None:
            return replace(loaded.crew.train(request), train_ms=_compute_elapsed_ms(started))
        base = Path(request.base)
        read_model(loaded.schema, base, loaded.tensors.put_slice)
        report = _train_on_base(loaded, request)
        if loaded.attack in {AttackKind.SIGN_FLIP, AttackKind.NOISE}:
            _poison(loaded, base, request.round_number)
        exponents: tuple[int, ...] = ()
        if request.update:
            exponents = write_update(
                loaded.schema, base=base, update=Path(request.update), get_tensor=loaded.tensors.get_tensor
            )
        return ModelTrained(
            scale_exponents=exponents,
            example_count=max(0, int(report.example_count)),
            train_ms=_compute_elapsed_ms(started),
        )

    def _aggregate(self, request: AggregateUpdates) -> UpdatesAggregated:
        loaded = self._get_loaded()
        written = aggregate_artifacts(
            loaded.schema,
            loaded.aggregation,
            base=Path(request.base),
            updates=[(Path(update.path), update.scale_exponents) for update in request.updates],
            candidate=Path(request.candidate),
        )
        return UpdatesAggregated(digest=written.digest)

    def _evaluate(self, request: EvaluateModel) -> ModelEvaluated:
        loaded = self._get_loaded()
        read_model(loaded.schema, Path(request.model), loaded.tensors.put_slice)
        if request.base:
            return ModelEvaluated(score=_score_beside_base(loaded, Path(request.base)))
        return ModelEvaluated(score=compute_score_ppm(loaded.task, loaded.model, loaded.device))

    def _screen(self, request: ScreenUpdate) -> ModelEvaluated:
        loaded = self._get_loaded()
        update = (Path(request.update.path), request.update.scale_exponents)
        slices = iterate_candidate(loaded.schema, loaded.aggregation, base=Path(request.base), updates=[update])
        for name, start, weights in slices:
            loaded.tensors.put_slice(name, start, weights)
        return ModelEvaluated(score=_score_beside_base(loaded, Path(request.base)))

    def _get_loaded(self) -> _Loaded:
        if self._loaded is None:
            raise TaskError("no task is loaded: the first request must load one")
        return self._loaded


def _train_on_base(loaded: _Loaded, request: TrainModel) -> TrainReport:
    """Train the loaded model, which holds the base, and leave a trace if one is asked for."""
    if not request.trace:
        return call_train(loaded.task, loaded.model, round_number=request.round_number, device=loaded.device)
    rows = Rows()
    with watch(loaded.model, rows):
        report = call_train(loaded.task, loaded.model, round_number=request.round_number, device=loaded.device)
    save_trace(Path(request.trace), make_trace(rows, loaded.tensors, loaded.schema))
    return report


def build_context(request: LoadTask) -> TaskContext:
    """Return what a task is told of the member that it is loaded for.

    Raises:
        TaskError: The seed is no number.
    """
    parameters = dict(request.parameters)
    split = parameters.pop("split", "iid")
    seed_text = parameters.pop("seed", "0")
    if not seed_text.isdecimal() or not seed_text.isascii() or int(seed_text) >= 2**64:
        raise TaskError(f"task parameter seed = {seed_text!r}: an integer from 0 to 2**64 - 1")
    return TaskContext(
        member_index=request.member_index,
        member_count=request.member_count,
        split=split,
        seed=int(seed_text),
        parameters=MappingProxyType(parameters),
        local=MappingProxyType(dict(request.local)),
    )


def _score_beside_base(loaded: _Loaded, base: Path) -> Ppm:
    """Return the score of the weights that are loaded, which are lost if there is none."""

    def put_base(error: NoScore) -> None:
        _log.warning("a model has no score, and counts as 0 if its base has one", exc_info=error)
        read_model(loaded.schema, base, loaded.tensors.put_slice)

    return compute_score_beside_base(loaded.task, loaded.model, loaded.device, put_base=put_base)


def _poison(loaded: _Loaded, base: Path, round_number: int) -> None:
    seed = [loaded.context.seed, loaded.context.member_index, round_number, _ATTACK_STREAM]
    generator = np.random.Generator(np.random.PCG64(seed))
    trainable = {spec.name for spec in loaded.schema.tensors if spec.is_trainable}

    def poison_slice(name: str, start: int, weights: NDArray[np.float32]) -> None:
        if name in trainable:
            trained = loaded.tensors.get_tensor(name)[start : start + weights.shape[0]]
            poisoned = poison_weights(
                loaded.attack, loaded.attack_strength, base=weights, trained=trained, generator=generator
            )
            loaded.tensors.put_slice(name, start, poisoned)

    read_model(loaded.schema, base, poison_slice)


def _compute_elapsed_ms(started: float) -> int:
    return round((time.monotonic() - started) * 1_000)
