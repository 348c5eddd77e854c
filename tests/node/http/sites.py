"""The pages of a node on a ledger that a test has built, served on a real port of loopback."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import trio

from node.http.gauges import Gauges
from node.http.pages import Pages
from node.http.reading import Present
from node.http.recorder import Outcomes, ReadOutcomes
from node.http.server import open_http_listeners
from node.json_values import JsonObject, JsonValue, get_list, get_object
from node.ports import Clock
from protocol.units import Height, MemberId, Round
from tests.helpers import LedgerBuilder
from tests.node.control_desks import ME, Desk, open_desk
from tests.node.fakes import TrioClock

MB = 1 << 20


@dataclass(slots=True)
class Readings:
    """What the gauges of a site show."""

    worker_bytes: int = 300 * MB
    disk_free_bytes: int = 100_000 * MB

    def make_gauges(self) -> Gauges:
        return Gauges(
            get_inbox_length=lambda: 3,
            get_inbox_refused=lambda: 5,
            get_gossip_dropped=lambda: 7,
            get_worker_bytes=lambda: self.worker_bytes,
            get_disk_free_bytes=lambda: self.disk_free_bytes,
        )


@dataclass(slots=True)
class Site:
    """A served site, and how to ask it."""

    desk: Desk
    port: int
    client: httpx.AsyncClient
    readings: Readings = field(default_factory=Readings)

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(path)

    async def get_json(self, path: str) -> JsonValue:
        response = await self.client.get(path)
        assert response.status_code == 200, response.text
        value: JsonValue = response.json()
        return value

    async def get_object(self, path: str) -> JsonObject:
        return get_object(await self.get_json(path))

    async def get_alert_codes(self) -> set[str]:
        return {str(get_object(alert)["code"]) for alert in get_list(await self.get_json("/api/v1/alerts"))}


def make_outcome_reader(builder: LedgerBuilder) -> ReadOutcomes:
    async def read(first: Round, last: Height) -> Outcomes:
        blocks = [(built.block.header.height, built.outcome) for built in builder.blocks]
        return [(height, outcome) for height, outcome in reversed(blocks) if height <= last]

    return read


@asynccontextmanager
async def open_site(
    builder: LedgerBuilder,
    *,
    me: MemberId = ME,
    silence: str | None = None,
    clock: Clock | None = None,
    host: str = "127.0.0.1",
    names: Collection[str] = (),
) -> AsyncIterator[Site]:
    """Serve a node with this ledger, connected to one of three others, at an address and by names."""
    readings = Readings()
    async with open_desk(builder, me=me, silence=silence, clock=clock) as desk, trio.open_nursery() as nursery:
        present = Present(
            informant=desk.informant,
            clock=TrioClock() if clock is None else clock,
            gauges=readings.make_gauges(),
            genesis=builder.genesis,
            member=me,
        )
        listeners = await open_http_listeners(host, 0)
        port = listeners[0].socket.getsockname()[1]
        pages = Pages(
            present,
            desk.hub,
            read_outcomes=make_outcome_reader(builder),
            listeners=listeners,
            version="1.2.3",
            names=names,
        )
        await nursery.start(pages.run)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield Site(desk=desk, port=port, client=client, readings=readings)
        nursery.cancel_scope.cancel()
