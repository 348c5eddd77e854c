"""Puts the pages of one running node together: what records, what reads, and the server."""

from collections.abc import Collection, Sequence

import structlog
import trio

from node.http.app import build_app
from node.http.reading import Present, Reading
from node.http.recorder import ReadOutcomes, Recorder
from node.http.server import HttpServer
from node.observations import ObservationHub

_log = structlog.get_logger("http")


class Pages:
    """The pages of one node."""

    def __init__(
        self,
        present: Present,
        hub: ObservationHub,
        *,
        read_outcomes: ReadOutcomes,
        listeners: Sequence[trio.SocketListener],
        version: str,
        names: Collection[str] = (),
    ) -> None:
        """Take the node's present, what it will observe, its past, and where and by which names to serve."""
        self._recorder = Recorder(
            hub=hub, clock=present.clock, get_state=present.informant.get_state, read_outcomes=read_outcomes
        )
        reading = Reading(present, self._recorder)
        app = build_app(reading, hub, version=version, names=names)
        self._server = HttpServer(app, listeners)
        self._listeners = listeners

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Record and serve until cancelled; reports itself started once nothing that is observed is missed."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._recorder.run)
            nursery.start_soon(self._server.run)
            for listener in self._listeners:
                host, port = listener.socket.getsockname()[:2]
                _log.info("pages_served", host=host, port=port)
            task_status.started()
