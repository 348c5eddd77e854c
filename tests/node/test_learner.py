"""The learner with a real worker process: what happens when the task or the process misbehaves."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
import trio

from node.errors import ConfigError, WorkerFailed
from node.failures import raise_cause
from node.learner import LearnerSettings, WorkerLearner, open_learner
from node.ports import Learner
from protocol.parameters import AggregationRule, Parameters, get_aggregation_choice
from protocol.units import Millis

PATIENCE_S = 60.0


def make_settings(
    *parameters: tuple[str, str], task: str = "tests.node.odd_task:OddTask", timeout_request_ms: int = 60_000
) -> LearnerSettings:
    return LearnerSettings(
        task=task,
        parameters=parameters,
        member_index=0,
        member_count=3,
        aggregation=get_aggregation_choice(Parameters(aggregation=AggregationRule.MEDIAN)),
        schema=None,
        timeout_request_ms=Millis(timeout_request_ms),
    )


@asynccontextmanager
async def open_odd_learner(
    folder: Path, mood: str, *, timeout_request_ms: int = 60_000
) -> AsyncIterator[WorkerLearner]:
    """Open a learner whose task is odd in round 1, with its initial model at ``base``."""
    settings = make_settings(("mood", mood), ("sign", str(folder / "sign")), timeout_request_ms=timeout_request_ms)
    with trio.fail_after(PATIENCE_S):
        async with open_learner(settings, log_path=folder / "worker.log") as learner:
            await learner.describe(initial_model=folder / "base")
            yield learner


async def wait_until_sign(folder: Path) -> None:
    """Wait until the task says that it is in the middle of training."""
    while not (folder / "sign").exists():
        await trio.sleep(0.01)


def has_ended(pid: int) -> bool:
    """Return whether a child has ended with all its threads, without reaping it."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


async def train(learner: WorkerLearner, folder: Path, *, round_number: int) -> None:
    await learner.train(round_number=round_number, base=folder / "base", update=folder / "update")


async def screen(learner: WorkerLearner, folder: Path, exponents: tuple[int, ...]) -> int:
    return await learner.screen(base=folder / "base", update=folder / "update", scale_exponents=exponents)


async def test_digits_train_aggregate_and_improve(tmp_path: Path) -> None:
    base, update, candidate = (tmp_path / name for name in ("base", "update", "candidate"))
    with trio.fail_after(PATIENCE_S):
        async with open_learner(make_settings(task="digits")) as learner:
            port: Learner = learner
            await learner.describe(initial_model=base)
            training = await port.train(round_number=1, base=base, update=update)
            await port.aggregate(base=base, updates=[(update, training.scale_exponents)], candidate=candidate)
            scores = await port.evaluate(model=base), await port.evaluate(model=candidate)
            assert 0 < scores[0] < scores[1] < 1_000_000
            assert training.example_count > 100
            assert 50 << 20 < learner.get_rss_bytes() < 300 << 20
            assert learner.get_start_count() == 1


async def test_task_that_prints_does_not_corrupt_the_replies(tmp_path: Path) -> None:
    async with open_odd_learner(tmp_path, "print") as learner:
        await train(learner, tmp_path, round_number=1)
        await train(learner, tmp_path, round_number=2)
        assert learner.get_start_count() == 1
    assert b"noise" in (tmp_path / "worker.log").read_bytes()


async def test_task_that_raises_fails_its_request_only(tmp_path: Path) -> None:
    async with open_odd_learner(tmp_path, "raise") as learner:
        with pytest.raises(WorkerFailed, match=r"TrainModel: ValueError: no data for . you"):
            await train(learner, tmp_path, round_number=1)
        await train(learner, tmp_path, round_number=2)
        assert learner.get_start_count() == 1
    assert b"Traceback" in (tmp_path / "worker.log").read_bytes()


async def test_task_that_exits_does_not_take_the_worker_along(tmp_path: Path) -> None:
    async with open_odd_learner(tmp_path, "exit") as learner:
        with pytest.raises(WorkerFailed, match="SystemExit: the task wants to leave"):
            await train(learner, tmp_path, round_number=1)
        await train(learner, tmp_path, round_number=2)
        assert learner.get_start_count() == 1


async def test_training_that_diverges_fails_its_request_only(tmp_path: Path) -> None:
    async with open_odd_learner(tmp_path, "diverge") as learner:
        with pytest.raises(WorkerFailed, match="NaN or infinity in the trained model"):
            await train(learner, tmp_path, round_number=1)
        await train(learner, tmp_path, round_number=2)


async def test_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    async with open_odd_learner(tmp_path, "die") as learner:
        with pytest.raises(WorkerFailed, match="ended with exit code 3"):
            await train(learner, tmp_path, round_number=1)
        await train(learner, tmp_path, round_number=2)
        assert learner.get_start_count() == 2


async def test_worker_killed_while_idle_costs_no_request(tmp_path: Path) -> None:
    async with open_odd_learner(tmp_path, "") as learner:
        pid = learner.get_worker_pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        while not has_ended(pid):
            await trio.sleep(0.01)
        await train(learner, tmp_path, round_number=1)
        assert learner.get_start_count() == 2


async def test_worker_past_its_deadline_is_killed_and_replaced(tmp_path: Path) -> None:
    async with open_odd_learner(tmp_path, "hang", timeout_request_ms=2_000) as learner:
        pid = learner.get_worker_pid()
        assert pid is not None
        with pytest.raises(WorkerFailed, match="TrainModel took longer than 2000 ms"):
            await train(learner, tmp_path, round_number=1)
        assert not psutil.pid_exists(pid)
        await train(learner, tmp_path, round_number=2)


async def test_cancelled_request_leaves_no_reply_for_the_next_one(tmp_path: Path) -> None:
    async with open_odd_learner(tmp_path, "hang") as learner:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: train(learner, tmp_path, round_number=1))
            await wait_until_sign(tmp_path)
            nursery.cancel_scope.cancel()
        assert await learner.evaluate(model=tmp_path / "base") == 500_000


async def test_screening_past_its_deadline_costs_that_update_only(tmp_path: Path) -> None:
    async with open_odd_learner(tmp_path, "hang when moved", timeout_request_ms=2_000) as learner:
        training = await learner.train(round_number=2, base=tmp_path / "base", update=tmp_path / "update")
        pid = learner.get_worker_pid()
        assert pid is not None
        with pytest.raises(WorkerFailed, match="ScreenUpdate took longer than 2000 ms"):
            await screen(learner, tmp_path, training.scale_exponents)
        assert not psutil.pid_exists(pid)
        standing_still = (-48,) * len(training.scale_exponents)
        assert await screen(learner, tmp_path, standing_still) == 500_000


async def test_cancelled_screening_leaves_no_reply_for_the_next_one(tmp_path: Path) -> None:
    async with open_odd_learner(tmp_path, "hang when moved") as learner:
        training = await learner.train(round_number=2, base=tmp_path / "base", update=tmp_path / "update")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: screen(learner, tmp_path, training.scale_exponents))
            await wait_until_sign(tmp_path)
            nursery.cancel_scope.cancel()
        assert await learner.evaluate(model=tmp_path / "base") == 500_000


async def test_a_missing_update_fails_its_own_screening_only(tmp_path: Path) -> None:
    async with open_odd_learner(tmp_path, "") as learner:
        training = await learner.train(round_number=2, base=tmp_path / "base", update=tmp_path / "update")
        with pytest.raises(WorkerFailed, match=r"ScreenUpdate: FileNotFoundError.*nowhere"):
            await learner.screen(
                base=tmp_path / "base", update=tmp_path / "nowhere", scale_exponents=training.scale_exponents
            )
        assert await screen(learner, tmp_path, training.scale_exponents) == 500_000
        assert learner.get_start_count() == 1


async def test_a_model_that_makes_the_task_raise_has_the_worst_score_if_its_base_has_one(tmp_path: Path) -> None:
    """F7, F8: with the worker's process, which goes on."""
    async with open_odd_learner(tmp_path, "raise when moved") as learner:
        training = await learner.train(round_number=2, base=tmp_path / "base", update=tmp_path / "update")
        updates = [(tmp_path / "update", training.scale_exponents)]
        await learner.aggregate(base=tmp_path / "base", updates=updates, candidate=tmp_path / "candidate")
        assert await learner.evaluate(model=tmp_path / "candidate", base=tmp_path / "base") == 0
        assert await screen(learner, tmp_path, training.scale_exponents) == 0
        with pytest.raises(WorkerFailed, match="NoScore: evaluate raised ValueError: Input contains NaN"):
            await learner.evaluate(model=tmp_path / "candidate")
        with pytest.raises(WorkerFailed, match="NoScore: evaluate raised ValueError: Input contains NaN"):
            await learner.evaluate(model=tmp_path / "candidate", base=tmp_path / "candidate")
        assert await learner.evaluate(model=tmp_path / "base") == 500_000
        assert learner.get_start_count() == 1
    assert b"Input contains NaN" in (tmp_path / "worker.log").read_bytes()


async def test_requests_at_once_are_served_one_after_another(tmp_path: Path) -> None:
    async with open_odd_learner(tmp_path, "") as learner, trio.open_nursery() as nursery:
        for round_number in range(2, 7):
            update = tmp_path / f"update-{round_number}"
            nursery.start_soon(
                lambda number, path: learner.train(round_number=number, base=tmp_path / "base", update=path),
                round_number,
                update,
            )
    assert len({(tmp_path / f"update-{number}").read_bytes() for number in range(2, 7)}) == 1


async def test_leaving_the_block_kills_a_worker_in_the_middle_of_training(tmp_path: Path) -> None:
    async with open_odd_learner(tmp_path, "hang") as learner:
        pid = learner.get_worker_pid()
        assert pid is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: train(learner, tmp_path, round_number=1))
            await wait_until_sign(tmp_path)
            nursery.cancel_scope.cancel()
    assert not psutil.pid_exists(pid)


async def test_task_that_cannot_be_loaded_is_named_and_tried_again_later() -> None:
    with trio.fail_after(PATIENCE_S):
        async with open_learner(make_settings(task="digitz")) as learner:
            for _ in range(2):
                with pytest.raises(WorkerFailed, match="unknown task 'digitz': use breast_cancer, credit_data, digits"):
                    await learner.evaluate(model=Path("nothing"))
            starts = learner.get_start_count()
            while learner.get_start_count() == starts:
                with pytest.raises(WorkerFailed, match="unknown task 'digitz'"):
                    await learner.evaluate(model=Path("nothing"))
                await trio.sleep(0.05)


async def test_task_that_is_not_told_where_its_data_are_ends_the_start() -> None:
    message = r'the setting data is missing: write data = "\.\.\." below \[task\] in this node'
    with trio.fail_after(PATIENCE_S), pytest.raises(ConfigError, match=message), raise_cause():
        async with open_learner(make_settings(task="tests.node.odd_task:FileTask")):
            await trio.sleep_forever()


async def test_missing_artifact_is_an_error_that_names_it(tmp_path: Path) -> None:
    async with open_odd_learner(tmp_path, "") as learner:
        with pytest.raises(WorkerFailed, match=r"FileNotFoundError.*nowhere"):
            await learner.evaluate(model=tmp_path / "nowhere")


async def test_request_to_a_closed_learner_fails(tmp_path: Path) -> None:
    async with open_odd_learner(tmp_path, "") as learner:
        pass
    with pytest.raises(WorkerFailed, match="closed"):
        await learner.evaluate(model=tmp_path / "base")
