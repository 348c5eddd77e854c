"""No worker outlives its daemon, even one that is killed by SIGKILL while its worker trains."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import trio

PATIENCE_S = 60.0

DAEMON = """
import sys
from pathlib import Path
import trio
from node.learner import LearnerSettings, open_learner
from protocol.parameters import Parameters, get_aggregation_choice

async def main(folder: Path, mood: str) -> None:
    settings = LearnerSettings(
        task="tests.node.odd_task:OddTask", parameters=(("mood", mood), ("sign", str(folder / "sign"))), member_index=0,
        member_count=3, aggregation=get_aggregation_choice(Parameters()), schema=None,
    )
    async with open_learner(settings) as learner:
        await learner.describe(initial_model=folder / "base")
        (folder / "pid").write_text(str(learner.get_worker_pid()))
        await learner.train(round_number=1, base=folder / "base", update=folder / "update")

trio.run(main, Path(sys.argv[1]), sys.argv[2])
"""


@pytest.mark.parametrize("mood", ["hang", "hold the lock"])
async def test_worker_ends_with_a_daemon_killed_in_the_middle_of_training(tmp_path: Path, mood: str) -> None:
    daemon = subprocess.Popen([sys.executable, "-c", DAEMON, str(tmp_path), mood])  # noqa: ASYNC220 - returns at once
    try:
        with trio.fail_after(PATIENCE_S):
            while not (tmp_path / "sign").exists():
                assert daemon.poll() is None
                await trio.sleep(0.02)
            worker_pid = int((tmp_path / "pid").read_text())
            assert psutil.pid_exists(worker_pid)
            os.kill(daemon.pid, signal.SIGKILL)
            daemon.wait()
            while psutil.pid_exists(worker_pid):
                await trio.sleep(0.02)
    finally:
        daemon.kill()
        daemon.wait()
