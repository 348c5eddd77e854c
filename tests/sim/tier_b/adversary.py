"""A member of :mod:`tests.sim.byzantine` among whole nodes: it gossips, and answers whoever asks for blocks.

It has no disk, no artifacts and no worker: in the rounds of learning it is silent, in consensus it does what it likes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import trio

from node.errors import NodeError
from node.ports import SendFrame, Service
from node.services import (
    BLOCK_FRAME_BYTES_MAX,
    REQUEST_BYTES_MAX,
    BlocksRequest,
    BodyRequest,
    Progress,
    SyncRequest,
    encode_sync_request,
)
from protocol.blocks import Block
from protocol.codec import decode, decode_union, encode
from protocol.errors import ProtocolError
from protocol.gossip import Admission, Topic
from protocol.interface import (
    ArmTimer,
    BlockFetched,
    BlocksFetched,
    Broadcast,
    FetchBlock,
    FetchBlocks,
    FinalizedBlock,
    Input,
    SetMembers,
    TimeAdvanced,
)
from protocol.units import Digest, Height, MemberId, Millis, View
from tests.node.fakes import TrioClock
from tests.sim.cluster import AdversaryHome, MakeAdversary
from tests.sim.memory_transport import MemoryNetwork, MemoryTransport
from tests.sim.node import Action, Adversary, Giver, SendTo

PATIENCE_S = 1.0
"""Longer than this it never waits for anything, so that set clocks do not matter."""
REQUEST_TIMEOUT_MS = Millis(5_000)

Heard = tuple[Topic, MemberId, bytes]


@dataclass(slots=True, kw_only=True)
class AdversaryNode:
    """One member that breaks the rules of consensus."""

    network: MemoryNetwork
    home: AdversaryHome
    make: MakeAdversary
    clock: TrioClock
    _adversary: Adversary = field(init=False)
    _transport: MemoryTransport = field(init=False)
    _sending: "trio.MemorySendChannel[Heard | Input]" = field(init=False)
    _receiving: "trio.MemoryReceiveChannel[Heard | Input]" = field(init=False)
    _timer_ms: Millis | None = None
    _turn: int = 0

    async def run(self) -> None:
        """Take part until cancelled."""
        self._sending, self._receiving = trio.open_memory_channel(math.inf)
        self._adversary = self.make(self.home)
        member = self.home.keys.key.member
        services = {Service.SYNC: self._serve_blocks, Service.STATUS: self._serve_status}
        self._transport = self.network.attach(member, gossip=self._hear, services=services)
        async with trio.open_nursery() as nursery:
            await self._perform(self._adversary.start(self.clock.get_now_ms()), nursery)
            while True:
                actions = await self._take()
                await self._perform(actions, nursery)

    async def _take(self) -> Sequence[Action]:
        now_ms = self.clock.get_now_ms()
        wait_s = PATIENCE_S if self._timer_ms is None else min((self._timer_ms - now_ms) / 1_000, PATIENCE_S)
        event: Heard | Input | None = None
        with trio.move_on_after(max(wait_s, 0.0)):
            event = await self._receiving.receive()
        now_ms = self.clock.get_now_ms()
        match event:
            case None if self._timer_ms is not None and now_ms >= self._timer_ms:
                self._timer_ms = None
                return self._adversary.handle(TimeAdvanced(), now_ms)
            case None:
                return ()
            case (topic, neighbour, message):
                sender = self.network.members.index(neighbour)
                return self._adversary.on_gossip(sender, topic, message, now_ms)
            case _:
                return self._adversary.handle(event, now_ms)

    async def _perform(self, actions: Sequence[Action], nursery: trio.Nursery) -> None:
        for action in actions:
            match action:
                case Broadcast(topic=topic, message=message):
                    await self._transport.publish(topic, message)
                case SendTo(receivers=receivers, topic=topic, message=message):
                    self._send(receivers, topic, message)
                case ArmTimer(at_ms=at_ms):
                    self._timer_ms = at_ms
                case SetMembers(contacts=contacts):
                    self._transport.set_members({contact.member: contact.addresses for contact in contacts})
                case FetchBlocks(from_height=from_height):
                    nursery.start_soon(self._fetch, BlocksRequest(from_height=from_height))
                case FetchBlock(block_hash=block_hash):
                    nursery.start_soon(self._fetch, BodyRequest(block_hash=block_hash))
                case _:
                    pass

    def _send(self, receivers: Sequence[int], topic: Topic, message: bytes) -> None:
        me = self.home.keys.key.member
        self.network.on_publish(me, topic, message)
        for receiver in receivers:
            target = self.network.members[receiver]
            if target != me and self.network.is_connected(me, target):
                self._transport.send(target, topic, message)

    def _hear(self, topic: Topic, neighbour: MemberId, message: bytes) -> Admission:
        self._sending.send_nowait((topic, neighbour, message))
        return Admission.ACCEPT

    async def _serve_status(self, requester: MemberId, _request: bytes, send: SendFrame) -> None:
        votes = self._adversary.get_votes_seen(requester)
        if votes is not None:
            await send(encode(Progress(height=Height(0), view=View(0), votes=votes)))

    async def _serve_blocks(self, requester: MemberId, request: bytes, send: SendFrame) -> None:
        match cast(SyncRequest, decode_union(SyncRequest, request, bytes_max=REQUEST_BYTES_MAX)):
            case BlocksRequest(from_height=from_height):
                for finalized in self._adversary.serve_blocks(from_height):
                    await send(encode(finalized))
            case BodyRequest(block_hash=block_hash):
                block = self._adversary.get_unfinalized_block(block_hash)
                if block is not None and self._gives(requester, block_hash):
                    await send(encode(block))

    def _gives(self, requester: MemberId, digest: Digest) -> bool:
        index = self.network.members.index(requester)
        return not isinstance(self._adversary, Giver) or self._adversary.gives(index, digest)

    async def _fetch(self, request: SyncRequest) -> None:
        """Ask one member, another one each time; who wants more orders it again."""
        others = [peer.member for peer in self._transport.get_peers() if peer.is_connected]
        if not others:
            return
        self._turn += 1
        frames: list[bytes] = []

        async def receive(frame: bytes) -> None:
            frames.append(frame)

        ask = partial(self._transport.request, others[self._turn % len(others)], Service.SYNC)
        try:
            await ask(encode_sync_request(request), receive, timeout_ms=REQUEST_TIMEOUT_MS)
            event = _decode_answer(request, frames)
        except (NodeError, ProtocolError):
            return
        if event is not None:
            await self._sending.send(event)


def _decode_answer(request: SyncRequest, frames: list[bytes]) -> Input | None:
    if not frames:
        return None
    if isinstance(request, BlocksRequest):
        decoded = (decode(FinalizedBlock, frame, bytes_max=BLOCK_FRAME_BYTES_MAX) for frame in frames)
        return BlocksFetched(blocks=tuple(decoded))
    return BlockFetched(block=decode(Block, frames[0], bytes_max=BLOCK_FRAME_BYTES_MAX))

