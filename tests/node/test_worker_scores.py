"""What a worker answers when a task gives no score: the model's base tells whose fault it is (F7, F8)."""

import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from node.tasks import Task
from node.worker.messages import EvaluateModel, ModelEvaluated, ScreenUpdate, UpdateSource
from node.worker.scoring import NoScore, compute_score_beside_base
from node.worker.service import build_context
from protocol.units import Ppm
from tests.node.odd_task import OddModel, OddTask
from tests.node.test_learner_service import LOAD, Bench

WORST = ModelEvaluated(score=Ppm(0))
NO_SCORES = ["-0.1", "1.1", "nan", "inf", "nothing", "ValueError", "KeyError"]
SHORTAGES = [("MemoryError", MemoryError), ("OSError", OSError), ("cuda", RuntimeError), ("allocator", RuntimeError)]


def make_bench(folder: Path, **parameters: str) -> tuple[Bench, UpdateSource]:
    """Return a bench whose task answers as its parameters say, and an update of its base."""
    bench = Bench(folder, replace(LOAD, parameters=tuple(sorted(parameters.items()))))
    return bench, bench.train("update")


def make_requests(bench: Bench, update: UpdateSource) -> Iterator[EvaluateModel | ScreenUpdate]:
    base = str(bench.base)
    yield EvaluateModel(model=str(bench.aggregate(update)), base=base)
    yield ScreenUpdate(base=base, update=update)


@pytest.mark.parametrize("answer", NO_SCORES)
def test_what_leaves_no_score_where_its_base_has_one_is_as_bad_as_can_be(tmp_path: Path, answer: str) -> None:
    """F7, F8: otherwise a poisoner could make voters silent."""
    bench, update = make_bench(tmp_path, moved_score=answer)
    for request in make_requests(bench, update):
        assert bench.service.handle(request) == WORST
        assert bench.service.handle(EvaluateModel(model=str(bench.base))) == ModelEvaluated(score=Ppm(500_000))


@pytest.mark.parametrize("answer", NO_SCORES)
def test_a_task_that_cannot_score_the_base_either_blames_nobody(tmp_path: Path, answer: str) -> None:
    """F7, F8: a voter whose own data are broken does not vote against everybody."""
    bench, update = make_bench(tmp_path, score=answer)
    for request in make_requests(bench, update):
        with pytest.raises(NoScore):
            bench.service.handle(request)


@pytest.mark.parametrize("answer", ["nan", "ValueError"])
def test_without_a_base_to_compare_with_no_score_is_a_failure(tmp_path: Path, answer: str) -> None:
    bench, update = make_bench(tmp_path, moved_score=answer)
    with pytest.raises(NoScore):
        bench.service.handle(EvaluateModel(model=str(bench.aggregate(update))))


@pytest.mark.parametrize(("answer", "error"), [*SHORTAGES, ("SystemExit", SystemExit)])
def test_a_machine_that_lacks_something_blames_nobody(tmp_path: Path, answer: str, error: type[BaseException]) -> None:
    """F7, F8: it may have it again when the base is evaluated."""
    bench, update = make_bench(tmp_path, moved_score=answer)
    for request in make_requests(bench, update):
        with pytest.raises(error):
            bench.service.handle(request)


def test_a_base_that_cannot_be_read_blames_nobody(tmp_path: Path) -> None:
    bench, update = make_bench(tmp_path, moved_score="nan")
    request = EvaluateModel(model=str(bench.aggregate(update)), base=str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError):
        bench.service.handle(request)


def test_the_base_is_not_evaluated_where_the_model_has_a_score(tmp_path: Path) -> None:
    bench, update = make_bench(tmp_path, score="ValueError", moved_score="0.25")
    for request in make_requests(bench, update):
        assert bench.service.handle(request) == ModelEvaluated(score=Ppm(250_000))


def test_the_base_is_evaluated_after_the_failed_evaluation_has_let_go_of_its_memory() -> None:
    """Or a GPU that holds one evaluation's activations would have to hold two."""
    made: list[weakref.ref[torch.Tensor]] = []
    held: list[bool] = []

    class Hungry(OddTask):
        def evaluate(self, model: torch.nn.Module, *, device: torch.device) -> float:
            held.append(any(reference() is not None for reference in made))
            activations = torch.zeros(8)
            made.append(weakref.ref(activations))
            if len(made) == 1:
                raise ValueError("Input contains NaN")
            return 0.5

    task: Task = Hungry(build_context(LOAD))
    gc.disable()
    try:
        score = compute_score_beside_base(task, OddModel(), torch.device("cpu"), put_base=lambda _: None)
    finally:
        gc.enable()
    assert (score, held) == (0, [False, False])
