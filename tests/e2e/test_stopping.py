"""Nothing keeps running: not after SIGTERM, not after SIGKILL of a daemon, not after Ctrl-C or SIGKILL of a demo."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import trio

from node.testnet import NodeProcess, NodeSpec, open_testnet
from tests.e2e.networks import copy_homes, find_alive, find_descendants, wait_gone

STOP_S = 6.0


async def _start_with_worker(node: NodeProcess) -> list[psutil.Process]:
    """Start a daemon and return its processes once its worker is among them."""
    node.start()
    await node.wait_ready()
    with trio.fail_after(30.0):
        while len(find_descendants(node.pid or 0)) < 2:
            await trio.sleep(0.05)
    return find_descendants(node.pid or 0)


def _start(command: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.slow
async def test_sigterm_ends_a_daemon_and_its_worker_within_seconds(pair: tuple[NodeSpec, ...], tmp_path: Path) -> None:
    specs = copy_homes(pair, tmp_path)
    async with open_testnet(specs) as testnet:
        node = testnet.nodes[0]
        processes = await _start_with_worker(node)
        started = time.monotonic()
        node.send_signal(signal.SIGTERM)
        assert await node.wait_ended() == 0
        assert time.monotonic() - started < STOP_S
        await wait_gone(processes, timeout_s=1.0)


@pytest.mark.slow
async def test_sigkill_of_a_daemon_takes_its_worker_along(pair: tuple[NodeSpec, ...], tmp_path: Path) -> None:
    specs = copy_homes(pair, tmp_path)
    async with open_testnet(specs) as testnet:
        node = testnet.nodes[0]
        processes = await _start_with_worker(node)
        await node.kill()
        await wait_gone(processes, timeout_s=5.0)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
async def test_a_demo_that_is_ended_leaves_no_process(tmp_path: Path, number: signal.Signals, exit_code: int) -> None:
    command = [
        sys.executable,
        "-m",
        "cli",
        "demo",
        "--nodes",
        "3",
        "--malicious",
        "0",
        "--keep",
        str(tmp_path / "demo"),
    ]
    with _start(command) as demo:
        with trio.fail_after(60.0):
            # Three daemons, and at least one worker among their children.
            while len(processes := find_descendants(demo.pid)) < 5:
                assert demo.poll() is None, "the demo ended by itself"
                await trio.sleep(0.05)
        demo.send_signal(number)
        with trio.fail_after(20.0):
            while demo.poll() is None:
                await trio.sleep(0.05)
        assert demo.returncode == exit_code
        await wait_gone(processes, timeout_s=10.0)
        assert not find_alive(processes)
