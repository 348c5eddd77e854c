"""Puts the pages of one running node together: what records, what reads, and the server."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog
import trio

from node.http.app import build_app
from node.http.reading import Present, Reading
from node.http.recorder import Outcomes, ReadOutcomes, Recorder
from node.http.server import HttpServer, is_local
from node.observations import ObservationHub
from node.store.reader import SqliteReader
from protocol.units import Digest, Height, Round

READ_RETRY_S: Final = 0.1
"""The core is ahead of the disk by a batch of blocks at the most."""

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
    ) -> None:
        """Take the node's present, what it will observe, its past, and where to serve."""
        self._recorder = Recorder(
            hub=hub, clock=present.clock, get_state=present.informant.get_state, read_outcomes=read_outcomes
        )
        reading = Reading(present, self._recorder)
        app = build_app(reading, hub, version=version, is_local=is_local(listeners))
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


def make_outcome_reader(ledger: Path, chain_id: Digest) -> ReadOutcomes:
    """Return what reads the past from a database, on a connection and in a thread of its own."""

    def read(first: Round, last: Height) -> Outcomes | None:
        reader = SqliteReader(ledger, chain_id)
        try:
            if last == 0:
                return []
            if reader.get_outcome(last) is None:
                return None
            rounds = reader.get_rounds(first, limit=1)
            opened = rounds[0].opened_height if rounds else last
            outcomes = [(Height(height), reader.get_outcome(Height(height))) for height in range(last, opened, -1)]
            return [(height, outcome) for height, outcome in outcomes if outcome is not None]
        finally:
            reader.close()

    async def read_in_thread(first: Round, last: Height) -> Outcomes:
        while True:
            outcomes = await trio.to_thread.run_sync(read, first, last)
            if outcomes is not None:
                return outcomes
            await trio.sleep(READ_RETRY_S)

    return read_in_thread
