"""A workbench for tests: with a fake learner, and another member that has what is missing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from node.artifacts.fetcher import ArtifactFetcher
from node.artifacts.service import ArtifactService
from node.artifacts.store import ArtifactStore
from node.blocking import run_inline
from node.inbox import Inbox
from node.ports import Service
from node.timings import Timings
from node.workbench import Tools, Workbench
from protocol.chunks import ArtifactHasher
from protocol.gossip import Admission, Topic
from protocol.interface import Input
from protocol.units import Digest, MemberId
from tests.founders import make_founders
from tests.helpers import SCHEMA
from tests.node.fakes import FakeLearner
from tests.sim.memory_transport import open_memory_network

FOUNDERS = make_founders(3)
ME, PEER, _ = (keys.member for keys in FOUNDERS)
EXPONENTS = (-16, -16)


@dataclass(slots=True)
class Bench:
    """A workbench, what it works with, and another member's artifacts."""

    workbench: Workbench
    inbox: Inbox
    learner: FakeLearner
    mine: ArtifactStore
    theirs: ArtifactStore

    async def take_one(self) -> Input:
        with trio.fail_after(600.0):
            (event,) = await self.inbox.take(wait_s=None)
        return event


async def put(store: ArtifactStore, content: bytes) -> Digest:
    path = store.make_temporary_path()
    path.write_bytes(content)
    return (await store.adopt(path)).digest


def compute_digest_of(content: bytes) -> Digest:
    hasher = ArtifactHasher()
    hasher.update(content)
    return hasher.finish()[0]


def ignore_gossip(_topic: Topic, _neighbour: MemberId, _message: bytes) -> Admission:
    return Admission.IGNORE


@asynccontextmanager
async def run_workbench(tmp_path: Path, learner: FakeLearner | None = None) -> AsyncIterator[Bench]:
    mine = ArtifactStore(tmp_path / "mine", run_blocking=run_inline)
    theirs = ArtifactStore(tmp_path / "theirs", run_blocking=run_inline)
    learner = learner or FakeLearner()
    async with open_memory_network(*(keys.member for keys in FOUNDERS)) as network:
        transport = network.attach(ME, gossip=ignore_gossip, services={})
        service = ArtifactService(theirs, run_blocking=run_inline)
        network.attach(PEER, gossip=ignore_gossip, services={Service.ARTIFACT: service.handle})
        inbox = Inbox()
        tools = Tools(
            learner=learner,
            artifacts=mine,
            fetcher=ArtifactFetcher(transport, mine, run_blocking=run_inline),
            schema=SCHEMA,
            timings=Timings(),
        )
        workbench = Workbench(inbox=inbox, tools=tools)
        async with trio.open_nursery() as nursery:
            await nursery.start(workbench.run)
            yield Bench(workbench=workbench, inbox=inbox, learner=learner, mine=mine, theirs=theirs)
            nursery.cancel_scope.cancel()
