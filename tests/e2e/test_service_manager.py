"""A daemon under a service manager, and the unit as an operator gets it."""

import socket
from pathlib import Path

import trio

from node.testnet import NodeProcess, NodeSpec
from tests.e2e.networks import copy_homes, run_command


async def test_a_daemon_says_when_it_is_ready_and_when_it_stops(pair: tuple[NodeSpec, ...], tmp_path: Path) -> None:
    spec = copy_homes(pair, tmp_path)[0]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        node = NodeProcess(spec, environment={"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "100000"})
        try:
            node.start()
            told = [await trio.to_thread.run_sync(manager.recv, 100) for _ in range(3)]
            assert sorted(told) == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
            # Whoever was told that it is ready can ask it.
            assert (await node.ask("status"))["height"] == 0
        finally:
            assert await node.stop() == 0
        manager.setblocking(False)
        last = b""
        while last != b"STOPPING=1":
            last = manager.recv(100)


async def test_the_unit_is_printed_for_a_home_and_for_nothing_else(
    pair: tuple[NodeSpec, ...], tmp_path: Path
) -> None:
    printed = await run_command("systemd-unit", "--home", str(pair[0].home), "--user", "pnyx")
    assert printed.returncode == 0
    assert f"run --home {pair[0].home} --log-format json\n" in printed.stdout
    assert "\nUser=pnyx\n" in printed.stdout
    refused = await run_command("systemd-unit", "--home", str(tmp_path / "none"))
    assert (refused.returncode, refused.stdout) == (64, "")
    assert "there is no home in" in refused.stderr
