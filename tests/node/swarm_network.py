"""Members that hold artifacts, on a simulated network, and one that fetches."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from node.artifacts.fetcher import ArtifactFetcher
from node.artifacts.service import ArtifactService
from node.artifacts.store import ArtifactStore
from node.blocking import run_inline
from node.ports import RequestHandler, SendFrame, Service
from protocol.chunks import CHUNK_BYTES
from protocol.gossip import Admission, Topic
from protocol.units import Digest, MemberId, Millis
from tests.sim.memory_transport import MemoryNetwork, MemoryTransport, open_memory_network

FETCHER = MemberId(bytes([255] * 32))
REQUEST_TIMEOUT_MS = Millis(10_000)


def make_member(number: int) -> MemberId:
    return MemberId(bytes([number] * 32))


def ignore_gossip(_topic: Topic, _member: MemberId, _message: bytes) -> Admission:
    return Admission.IGNORE


def make_content(chunk_count: int) -> bytes:
    """Return an artifact's bytes; the last chunk is not full."""
    return os.urandom(chunk_count * CHUNK_BYTES - 1_000)


@dataclass(slots=True, kw_only=True)
class SwarmNetwork:
    """The simulated network with its directories."""

    root: Path
    network: MemoryNetwork
    transport: MemoryTransport
    store: ArtifactStore
    fetcher: ArtifactFetcher

    async def add_holders(self, count: int, content: bytes) -> Digest:
        """Bring up the first members, all of which hold one artifact, and return its digest."""
        digests = [await self.add_holder(number, content) for number in range(count)]
        return digests[0][0]

    async def add_holder(self, number: int, *contents: bytes) -> list[Digest]:
        """Bring up a member that holds these artifacts and return their digests."""
        store = ArtifactStore(self.root / f"member{number}", run_blocking=run_inline)
        digests = []
        for content in contents:
            path = store.make_temporary_path()
            path.write_bytes(content)
            digests.append((await store.adopt(path)).digest)
        self.add_member(number, ArtifactService(store, run_blocking=run_inline).handle)
        return digests

    def add_member(self, number: int, handler: RequestHandler) -> None:
        """Bring up a member that answers artifact requests in its own way."""
        self.network.attach(make_member(number), gossip=ignore_gossip, services={Service.ARTIFACT: handler})

    def restart_fetcher(self) -> None:
        """Forget all that is in memory."""
        self.store = ArtifactStore(self.root / "fetcher", run_blocking=run_inline)
        self.fetcher = make_fetcher(self.transport, self.store)

    def count_requests(self, number: int) -> int:
        """Return how many requests a member has got."""
        return sum(target == make_member(number) for _, target, _ in self.network.requests)


def make_fetcher(transport: MemoryTransport, store: ArtifactStore) -> ArtifactFetcher:
    return ArtifactFetcher(transport, store, request_timeout_ms=REQUEST_TIMEOUT_MS, run_blocking=run_inline)


@asynccontextmanager
async def open_swarm_network(root: Path, *, member_count: int) -> AsyncIterator[SwarmNetwork]:
    """Run a network of some members, none of them up, and a fetcher."""
    members = [make_member(number) for number in range(member_count)]
    async with open_memory_network(*members, FETCHER) as network:
        transport = network.attach(FETCHER, gossip=ignore_gossip, services={})
        store = ArtifactStore(root / "fetcher", run_blocking=run_inline)
        fetcher = make_fetcher(transport, store)
        yield SwarmNetwork(root=root, network=network, transport=transport, store=store, fetcher=fetcher)


def make_forger(service: ArtifactService, *, good_frames: int) -> RequestHandler:
    """Return a handler that answers truly for some frames of each response and flips a byte of every later one."""

    async def handle(member: MemberId, request: bytes, send: SendFrame) -> None:
        sent = 0

        async def send_forged(frame: bytes) -> None:
            nonlocal sent
            sent += 1
            await send(frame if sent <= good_frames else bytes([frame[0] ^ 1]) + frame[1:])

        await service.handle(member, request, send_forged)

    return handle
