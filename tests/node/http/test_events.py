"""Server-sent events: what a reader of the stream sees."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio

from node.http import events
from node.http.events import STREAMS_MAX, describe_public
from node.json_values import JsonObject, get_object
from node.observations import WATCHER_OBSERVATIONS_MAX
from protocol.observations import UpdateNotScreened, ViewFailed, WorkAbandoned
from protocol.units import Round, View
from tests.helpers import LedgerBuilder, make_digest
from tests.node.control_desks import FOUNDERS, ME
from tests.node.http.sites import Site, open_site

FAILURE = ViewFailed(view=View(3), leader=ME, failures=2)


class Reader:
    """Reads one stream line by line; what frames the chunks looks like no line of an event."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._pending = b""

    async def read_line(self) -> str:
        with trio.fail_after(10):
            while b"\n" not in self._pending:
                received = await self._stream.receive_some(65_536)
                assert received, "the stream ended"
                self._pending += received
        line, self._pending = self._pending.split(b"\n", 1)
        return line.decode().rstrip("\r")

    async def read_event(self) -> JsonObject:
        while not (line := await self.read_line()).startswith("data: "):
            pass
        return get_object(json.loads(line.removeprefix("data: ")))


@asynccontextmanager
async def follow(site: Site) -> AsyncIterator[Reader]:
    async with await trio.open_tcp_stream("127.0.0.1", site.port) as stream:
        await stream.send_all(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield Reader(stream)


async def wait_streams(site: Site, count: int) -> None:
    """Return once so many readers follow the node; the recorder watches beside them."""
    with trio.fail_after(10):
        while len(site.desk.hub._watchers) != count + 1:
            await trio.sleep(0.01)


async def test_a_stream_begins_with_the_status_and_goes_on_with_what_happens() -> None:
    async with open_site(LedgerBuilder(founders=FOUNDERS)) as site, follow(site) as reader:
        assert await reader.read_line() == "HTTP/1.1 200 "
        assert await reader.read_line() == "content-type: text/event-stream; charset=utf-8"
        first = await reader.read_event()
        assert (first["event"], first["height"]) == ("Status", 0)
        assert "pid" not in first
        site.desk.hub.publish(FAILURE)
        assert await reader.read_event() == {"event": "ViewFailed", "view": 3, "leader": ME.hex(), "failures": 2}


async def test_what_a_task_said_of_its_failure_stays_in_the_log() -> None:
    secret = "ValueError: no row 17 in a patients file"
    described = describe_public(WorkAbandoned(round=Round(7), reason=secret))
    assert described == {"event": "WorkAbandoned", "round": 7}
    digest = make_digest("update")
    described = describe_public(UpdateNotScreened(round=Round(7), update_digest=digest, reason=secret))
    assert described == {"event": "UpdateNotScreened", "round": 7, "update": digest.hex()}


async def test_a_reader_that_leaves_is_forgotten() -> None:
    async with open_site(LedgerBuilder(founders=FOUNDERS)) as site:
        async with follow(site):
            await wait_streams(site, 1)
        await wait_streams(site, 0)


async def test_a_reader_hears_something_even_if_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.01)
    async with open_site(LedgerBuilder(founders=FOUNDERS)) as site, follow(site) as reader:
        while await reader.read_line() != ": still here":
            pass


async def test_one_reader_too_many_is_told_so() -> None:
    async with open_site(LedgerBuilder(founders=FOUNDERS)) as site, AsyncExitStack() as readers:
        for _ in range(STREAMS_MAX):
            await readers.enter_async_context(follow(site))
        await wait_streams(site, STREAMS_MAX)
        response = await site.get("/api/v1/events")
        assert response.status_code == 503
        assert "too many readers" in response.json()["error"]


async def test_a_slow_reader_is_told_how_many_events_it_missed() -> None:
    async with open_site(LedgerBuilder(founders=FOUNDERS)) as site, follow(site) as reader:
        await reader.read_event()
        await wait_streams(site, 1)
        # Nothing else runs in between, so the queue cannot be emptied.
        for _ in range(WATCHER_OBSERVATIONS_MAX + 6):
            site.desk.hub.publish(FAILURE)
        seen = [await reader.read_event() for _ in range(3)]
        missed = next(event for event in seen if event["event"] == "Missed")
        assert missed["count"] in {5, 6}
