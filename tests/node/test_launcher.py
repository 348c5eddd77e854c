"""Training in several processes that torchrun starts: they share the work, and none of them outlives its worker."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
import safetensors.numpy
import trio

from node.errors import ConfigError, WorkerFailed
from node.failures import raise_cause
from node.learner import LearnerSettings, WorkerLearner, open_learner
from node.ports import Training
from node.worker.dry_run import check_ranks
from node.worker.messages import Severity
from node.worker.traces import Trace
from protocol.parameters import AggregationRule, Parameters, get_aggregation_choice
from protocol.units import Millis
from tests.node.joint_task import INPUTS, TARGETS, compute_step

PATIENCE_S = 100.0
TORCHRUN = "torchrun --nproc-per-node 2"

DAEMON = """
import sys
from pathlib import Path
import trio
from tests.node.test_launcher import make_settings
from node.learner import open_learner

async def main(folder: Path) -> None:
    async with open_learner(make_settings(folder, "hold_the_lock")) as learner:
        await learner.describe(initial_model=folder / "base")
        await learner.train(round_number=1, base=folder / "base", update=folder / "update")

trio.run(main, Path(sys.argv[1]))
"""


def make_settings(
    folder: Path, mood: str = "", *, launcher: str = TORCHRUN, device: str = "cpu", timeout_request_ms: int = 90_000
) -> LearnerSettings:
    return LearnerSettings(
        task="tests.node.joint_task:JointTask",
        parameters=(("mood", mood),),
        member_index=0,
        member_count=3,
        aggregation=get_aggregation_choice(Parameters(aggregation=AggregationRule.MEAN)),
        schema=None,
        local=(("sign", str(folder / "sign")),),
        launcher=launcher,
        device=device,
        timeout_request_ms=Millis(timeout_request_ms),
    )


@asynccontextmanager
async def open_crew(settings: LearnerSettings, folder: Path) -> AsyncIterator[WorkerLearner]:
    """Open a learner whose ranks are ready, with its initial model at ``base``."""
    with trio.fail_after(PATIENCE_S):
        async with open_learner(settings, log_path=folder / "worker.log") as learner:
            await learner.describe(initial_model=folder / "base")
            yield learner


async def train(learner: WorkerLearner, folder: Path, *, round_number: int) -> Training:
    return await learner.train(round_number=round_number, base=folder / "base", update=folder / "update")


async def compute_trained_weight(learner: WorkerLearner, folder: Path, training: Training) -> float:
    candidate = folder / "candidate"
    await learner.aggregate(
        base=folder / "base", updates=[(folder / "update", training.scale_exponents)], candidate=candidate
    )
    (weight,) = safetensors.numpy.load_file(candidate).values()
    return float(np.ravel(weight)[0])


def find_family(learner: WorkerLearner) -> list[psutil.Process]:
    """Return the worker, the launcher and the ranks."""
    pid = learner.get_worker_pid()
    assert pid is not None
    worker = psutil.Process(pid)
    return [worker, *worker.children(recursive=True)]


def find_ranks(family: list[psutil.Process]) -> dict[int, psutil.Process]:
    return {int(process.environ()["RANK"]): process for process in family if "RANK" in process.environ()}


async def wait_gone(processes: list[psutil.Process]) -> None:
    while any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes):
        await trio.sleep(0.02)


async def kill(process: psutil.Process) -> None:
    """Kill a process and wait until all its threads have ended, which is later than it looks dead."""
    descriptor = os.pidfd_open(process.pid)
    process.kill()
    await trio.lowlevel.wait_readable(descriptor)
    os.close(descriptor)


@pytest.mark.slow
async def test_two_ranks_train_as_one_process_on_all_their_examples_would(tmp_path: Path) -> None:
    async with open_crew(make_settings(tmp_path), tmp_path) as learner:
        training = await train(learner, tmp_path, round_number=1)
        weight = await compute_trained_weight(learner, tmp_path, training)
        family = find_family(learner)
        ranks = find_ranks(family)
        listening = {
            connection.laddr.ip
            for process in family
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        await train(learner, tmp_path, round_number=2)
        scales = training.scale_exponents
        screened = await learner.screen(base=tmp_path / "base", update=tmp_path / "update", scale_exponents=scales)
        assert screened == await learner.evaluate(model=tmp_path / "candidate")
        assert screened != await learner.evaluate(model=tmp_path / "base")
        assert find_ranks(find_family(learner)) == ranks
        checked = await learner.check(folder=tmp_path)
        launcher = ranks[0].parent()
        assert launcher is not None
        await kill(launcher)
        await wait_gone([*ranks.values()])
        assert (await train(learner, tmp_path, round_number=3)).example_count == len(INPUTS)
        assert learner.get_start_count() == 1
        family += find_family(learner)
        folders = {process.environ()["PET_LOG_DIR"] for process in find_ranks(find_family(learner)).values()}
    assert training.example_count == len(INPUTS)
    assert weight == pytest.approx(compute_step(INPUTS, TARGETS), rel=1e-4)
    for rank in (0, 1):
        assert weight != pytest.approx(compute_step(INPUTS[rank::2], TARGETS[rank::2]), rel=0.1)
    assert set(ranks) == {0, 1}
    assert listening == {"127.0.0.1"}
    assert checked.findings == ()
    await wait_gone(family)
    assert not any(Path(folder).exists() for folder in folders)


@pytest.mark.slow
async def test_what_fails_in_a_rank_is_told_and_the_next_training_has_new_ranks(tmp_path: Path) -> None:
    async with open_crew(make_settings(tmp_path, "raise die"), tmp_path) as learner:
        family = find_family(learner)
        with pytest.raises(WorkerFailed, match="rank 1: ValueError: a broken scan"):
            await train(learner, tmp_path, round_number=1)
        await wait_gone(family[1:])
        with pytest.raises(WorkerFailed, match=r"rank [01] died in TrainModel: look at this node's log"):
            await train(learner, tmp_path, round_number=2)
        assert await learner.evaluate(model=tmp_path / "base") > 0
        assert len(find_family(learner)) == 1
        assert learner.get_start_count() == 1


@pytest.mark.slow
async def test_a_rank_that_hangs_past_the_deadline_is_ended_with_all_others(tmp_path: Path) -> None:
    async with open_crew(make_settings(tmp_path, "hang", timeout_request_ms=5_000), tmp_path) as learner:
        family = find_family(learner)
        with pytest.raises(WorkerFailed, match="TrainModel took longer than 5000 ms"):
            await train(learner, tmp_path, round_number=1)
        assert (tmp_path / "sign").exists()
        await wait_gone(family)


@pytest.mark.slow
async def test_no_rank_outlives_a_daemon_that_is_killed_in_the_middle_of_training(tmp_path: Path) -> None:
    # What a killed daemon cannot remove, pytest does.
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    daemon = subprocess.Popen(  # noqa: ASYNC220 - returns at once
        [sys.executable, "-c", DAEMON, str(tmp_path)], env=environment
    )
    try:
        with trio.fail_after(PATIENCE_S):
            while not (tmp_path / "sign").exists():
                assert daemon.poll() is None
                await trio.sleep(0.02)
            family = psutil.Process(daemon.pid).children(recursive=True)
            assert set(find_ranks(family)) == {0, 1}
            os.kill(daemon.pid, signal.SIGKILL)
            daemon.wait()
            await wait_gone(family)
    finally:
        daemon.kill()
        daemon.wait()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "device", "message"),
    [
        ("torchrum --nproc-per-node 2", "cpu", "there is no program torchrum: install it, or give its path"),
        ("torchrun --nproc-per-node two", "cpu", "it ended with exit code 1 .*Unsupported nproc_per_node"),
        ("python", "cpu", "it sets no RANK, WORLD_SIZE and LOCAL_RANK: use one of torch.distributed"),
        (TORCHRUN, "cuda:1", 'launcher with device = "cuda:1"|built without CUDA|finds no GPU|torch finds'),
    ],
)
async def test_a_launcher_that_cannot_be_used_is_named_in_one_line(
    tmp_path: Path, launcher: str, device: str, message: str
) -> None:
    with trio.fail_after(PATIENCE_S), pytest.raises(ConfigError, match=message) as raised, raise_cause():
        async with open_crew(make_settings(tmp_path, launcher=launcher, device=device), tmp_path):
            pass
    assert "\n" not in str(raised.value)


@pytest.mark.slow
async def test_a_rank_that_cannot_load_the_task_says_why(tmp_path: Path) -> None:
    message = "rank [01]: TaskError: no data for a rank"
    with trio.fail_after(PATIENCE_S), pytest.raises(WorkerFailed, match=message), raise_cause():
        async with open_learner(make_settings(tmp_path, "unready")) as learner:
            await learner.describe(initial_model=tmp_path / "base")


@pytest.mark.slow
async def test_a_dry_round_sees_that_ranks_do_not_average(tmp_path: Path) -> None:
    async with open_crew(make_settings(tmp_path, "alone"), tmp_path) as learner:
        checked = await learner.check(folder=tmp_path)
    (finding,) = checked.findings
    assert finding.severity is Severity.WARNING
    assert "the ranks end with different weights, and only rank 0's count" in finding.text


def test_ranks_that_train_on_the_same_examples_are_noticed() -> None:
    trace, other = (Trace(weights=b"w" * 32, rows=frozenset({row})) for row in (b"1" * 16, b"2" * 16))
    (finding,) = check_ranks([trace, trace])
    assert "all 2 ranks train on the same examples" in finding.text
    assert check_ranks([trace]) == check_ranks([trace, other]) == []
