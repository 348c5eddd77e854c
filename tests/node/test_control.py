"""The control socket: requests, streams, errors, long paths, and who may connect."""

import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from node.control import ControlHandler, SendResult, call, find_socket, open_request, place_socket, serve_control
from node.errors import DaemonUnreachable, HomeLocked, NodeError
from node.json_values import JsonObject
from protocol.errors import InvalidOperation
from protocol.refusals import Refusal


async def echo(request: JsonObject, send: SendResult) -> None:
    await send(request)


@asynccontextmanager
async def run_server(home: Path, handler: ControlHandler) -> AsyncIterator[Path]:
    home.mkdir(parents=True, exist_ok=True)
    with place_socket(home) as path:
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_control, path, handler)
            yield path
            nursery.cancel_scope.cancel()


async def test_a_request_is_answered(tmp_path: Path) -> None:
    async with run_server(tmp_path, echo):
        assert await call(tmp_path, {"command": "status", "n": 1}) == {"command": "status", "n": 1}


async def test_only_the_owner_may_connect(tmp_path: Path) -> None:
    async with run_server(tmp_path, echo) as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_stream_gives_one_result_after_the_other(tmp_path: Path) -> None:
    async def count(_request: JsonObject, send: SendResult) -> None:
        for number in range(3):
            await send(number)

    async with run_server(tmp_path, count), open_request(tmp_path, {"command": "watch"}) as client:
        assert [await client.read_result() for _ in range(3)] == [0, 1, 2]
        with pytest.raises(DaemonUnreachable):
            await client.read_result()


async def test_a_stream_ends_at_the_daemon_when_its_client_leaves(tmp_path: Path) -> None:
    ended = trio.Event()

    async def wait_for_ever(_request: JsonObject, send: SendResult) -> None:
        try:
            await send("ready")
            await trio.sleep_forever()
        finally:
            ended.set()

    async with run_server(tmp_path, wait_for_ever):
        async with open_request(tmp_path, {"command": "watch"}) as client:
            await client.read_result()
        with trio.fail_after(5.0):
            await ended.wait()


async def test_a_daemons_error_comes_through_with_its_exit_code(tmp_path: Path) -> None:
    async def refuse(_request: JsonObject, _send: SendResult) -> None:
        raise HomeLocked("somebody is here already")

    async with run_server(tmp_path, refuse):
        with pytest.raises(NodeError, match="somebody is here already") as caught:
            await call(tmp_path, {"command": "status"})
        assert caught.value.exit_code == HomeLocked.exit_code


async def test_what_the_protocol_refuses_is_the_clients_error_and_the_server_lives(tmp_path: Path) -> None:
    async def refuse(request: JsonObject, send: SendResult) -> None:
        if "fine" not in request:
            raise InvalidOperation(Refusal.NOT_A_MEMBER, "anna")
        await send(request)

    async with run_server(tmp_path, refuse):
        with pytest.raises(NodeError, match="NOT_A_MEMBER: anna") as caught:
            await call(tmp_path, {"command": "submit"})
        assert caught.value.exit_code == 64
        assert await call(tmp_path, {"fine": True}) == {"fine": True}


@pytest.mark.parametrize(
    "line", [b"no json\n", b"[1]\n", b'"text"\n', b"\xff\xfe\n", b'{"deep": ' + b"[" * 64 + b"]" * 64 + b"}\n"]
)
async def test_garbage_is_answered_and_the_server_lives(tmp_path: Path, line: bytes) -> None:
    async with run_server(tmp_path, echo) as path:
        async with await trio.open_unix_socket(str(path)) as stream:
            await stream.send_all(line)
            answer = json.loads(await stream.receive_some())
        assert answer["ok"] is False
        assert answer["exit_code"] == 64
        assert await call(tmp_path, {"command": "status"}) == {"command": "status"}


async def test_a_request_without_end_is_dropped(tmp_path: Path) -> None:
    async with run_server(tmp_path, echo) as path:
        async with await trio.open_unix_socket(str(path)) as stream:
            with trio.fail_after(5.0), pytest.raises(trio.BrokenResourceError):
                await stream.send_all(bytes(16 << 20))
        assert await call(tmp_path, {"command": "status"}) == {"command": "status"}


async def test_without_a_daemon_the_error_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(DaemonUnreachable, match=f"no daemon runs on {tmp_path}; start it with: pnyx run --home"):
        await call(tmp_path, {"command": "status"})


async def test_a_home_with_a_long_path_has_its_socket_elsewhere(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30)
    async with run_server(home, echo) as path:
        assert len(str(path)) <= 100
        assert find_socket(home) == path
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert await call(home, {"command": "status"}) == {"command": "status"}
    assert not path.parent.exists()
    assert list(home.iterdir()) == []


async def test_what_a_killed_daemon_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "control.sock").write_bytes(b"")
    (tmp_path / "control.sock.path").write_text("/nowhere")
    async with run_server(tmp_path, echo):
        assert await call(tmp_path, {"command": "status"}) == {"command": "status"}
