"""Live events: what the node observes, as server-sent events (WHATWG HTML, section 9.2).

A stream begins with the status, so that whoever comes late or comes back knows where things stand. A reader that is too
slow loses events and is told how many.
"""

import json
from typing import Final

import trio
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from node.http.reading import Reading
from node.json_values import JsonObject
from node.observations import ObservationHub, Watcher, describe_observation
from protocol.observations import Observation, UpdateNotScreened, WorkAbandoned

STREAMS_MAX: Final = 32
HEARTBEAT_S: Final = 15.0
"""Something is sent at least this often, since only that finds out that a reader is gone."""
RECONNECT_MS: Final = 2_000

_HEADERS: Final = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]


class EventStreams:
    """Serves any number of readers up to the bound."""

    def __init__(self, reading: Reading, hub: ObservationHub) -> None:
        """Take what streams begin with, and what they go on with."""
        self._reading = reading
        self._hub = hub
        self.open_count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream to one reader until it leaves; an ASGI application.

        Raises:
            HTTPException: There are as many readers as may be.
        """
        if self.open_count >= STREAMS_MAX:
            raise HTTPException(503, "too many readers follow this node already: close one")
        self.open_count += 1
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._stream, scope, send)
                while (await receive())["type"] != "http.disconnect":
                    pass
                nursery.cancel_scope.cancel()
        finally:
            self.open_count -= 1

    async def _stream(self, scope: Scope, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        with self._hub.watch() as watcher:
            first = {"event": "Status", **self._reading.describe_status()}
            await _send_text(send, f"retry: {RECONNECT_MS}\n" + format_event(first))
            while True:
                await _send_text(send, await _wait_text(watcher))


async def _wait_text(watcher: Watcher) -> str:
    """Return the next event, with how many went missing before it, or a heartbeat."""
    with trio.move_on_after(HEARTBEAT_S):
        text = format_event(describe_public(await watcher.wait_next()))
        if watcher.missed_count:
            missed_count, watcher.missed_count = watcher.missed_count, 0
            text = format_event({"event": "Missed", "count": missed_count}) + text
        return text
    return ": still here\n\n"


def describe_public(observation: Observation) -> JsonObject:
    """Return an observation as JSON, without what a task said of its failure: that may name files and samples."""
    described = describe_observation(observation)
    if isinstance(observation, WorkAbandoned | UpdateNotScreened):
        del described["reason"]
    return described


def format_event(described: JsonObject) -> str:
    """Return an event as it travels."""
    return f"event: {described['event']}\ndata: {json.dumps(described, separators=(',', ':'))}\n\n"


async def _send_text(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
