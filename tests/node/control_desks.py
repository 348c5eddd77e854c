"""A control desk on a ledger that a test has built, connected to one other member."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from node.control_desk import ControlDesk
from node.errors import WorkerFailed
from node.json_values import JsonObject, JsonValue
from node.observations import ObservationHub
from node.peer_clocks import PeerClocks
from node.ports import Clock
from node.status import Informant, Windows
from node.submissions import Judged, TellSigned
from node.timings import Timings
from protocol.gossip import Admission, Topic
from protocol.interface import FinalizedBlock, Persist, PersistBlock
from protocol.journal import ScoreRecord
from protocol.operations import Bond, Payload, Unbond
from protocol.refusals import Refusal
from protocol.units import Digest, Height, MemberId, Ppm, View
from tests.founders import make_founders
from tests.helpers import LedgerBuilder, make_digest
from tests.node.fakes import TrioClock
from tests.sim.memory_disk import MemoryDisk
from tests.sim.memory_store import MemoryStore
from tests.sim.memory_transport import MemoryNetwork, open_memory_network

FOUNDERS = make_founders(4)
ME = FOUNDERS[0].member


@dataclass(slots=True)
class Desk:
    """A control desk on a ledger, and what it has sent."""

    desk: ControlDesk
    hub: ObservationHub
    builder: LedgerBuilder
    network: MemoryNetwork
    informant: Informant
    peer_clocks: PeerClocks
    store: MemoryStore
    submitted: list[Payload] = field(default_factory=list)
    """What the ledger was asked for."""
    sent: list[JsonValue] = field(default_factory=list)

    async def ask(self, request: JsonObject) -> JsonValue:
        async def send(result: JsonValue) -> None:
            self.sent.append(result)

        await self.desk.handle(request, send)
        answer: JsonValue = json.loads(json.dumps(self.sent.pop()))
        return answer

    def connect(self, member: MemberId) -> None:
        self.network.attach(member, gossip=refuse_gossip, services={})


def refuse_gossip(_topic: Topic, _neighbour: MemberId, _message: bytes) -> Admission:
    return Admission.IGNORE


async def measure_score(digest: Digest) -> Ppm:
    if digest == make_digest("broken"):
        raise WorkerFailed("NaN in the model")
    return Ppm(500_000)


@asynccontextmanager
async def open_desk(
    builder: LedgerBuilder, *, me: MemberId = ME, silence: str | None = None, clock: Clock | None = None
) -> AsyncIterator[Desk]:
    """Give a desk on a node with this ledger, connected to one of three others."""
    store = MemoryStore(disk=MemoryDisk(), genesis=builder.genesis, member=me)
    store.load()
    for built in builder.blocks:
        final = FinalizedBlock(block=built.block, certificate=builder.certify(built.block))
        await store.append([PersistBlock(height=built.block.header.height, finalized=final, outcome=built.outcome)])
    await store.append([Persist(record=ScoreRecord(model_digest=builder.genesis.model_digest, score=Ppm(123_000)))])
    hub, peer_clocks = ObservationHub(), PeerClocks()
    async with open_memory_network(*(keys.member for keys in FOUNDERS)) as network:
        network.attach(FOUNDERS[1].member, gossip=refuse_gossip, services={})
        windows = Windows(
            get_state=lambda: builder.state,
            get_view=lambda: View(builder.state.view + 1),
            explain_silence=lambda: silence,
            store=store,
            transport=network.attach(me, gossip=refuse_gossip, services={}),
            clock=TrioClock() if clock is None else clock,
            peer_clocks=peer_clocks,
            timings=Timings(),
        )
        informant = Informant(genesis=builder.genesis, member=me, name="me", version="1", windows=windows)
        submitted: list[Payload] = []

        async def submit(payload: Payload, tell_signed: TellSigned) -> Judged:
            submitted.append(payload)
            await tell_signed(make_digest("operation"))
            refusal = Refusal.BOND_EXCEEDS_FREE if isinstance(payload, Bond) else Refusal.NONE
            if not isinstance(payload, Bond | Unbond):
                builder.add_payloads((me, payload))
            return Judged(operation_id=make_digest("operation"), height=Height(9), refusal=refusal)

        desk = ControlDesk(
            informant=informant,
            hub=hub,
            get_score={make_digest("known"): 7}.get,
            measure_score=measure_score,
            submit=submit,
        )
        yield Desk(
            desk=desk,
            hub=hub,
            builder=builder,
            network=network,
            informant=informant,
            peer_clocks=peer_clocks,
            store=store,
            submitted=submitted,
        )
