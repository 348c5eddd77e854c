"""A member that beside its work asks too much of the others: endless requests, answers that it does not read, gossip.

It is not stopped by its own transport, which an honest one would be; what protects the others is theirs.
"""

import random
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from node.artifacts.service import ChunkListRequest, ChunkRangeRequest, encode_artifact_request
from node.errors import NodeError
from node.ports import Service
from node.services import BlocksRequest, encode_sync_request
from protocol.codec import encode
from protocol.crypto import Domain, compute_digest
from protocol.genesis import compute_chain_id
from protocol.gossip import Topic
from protocol.learning.artifact_format import compute_update_size_bytes, get_trainable_tensors
from protocol.ledger.state import get_account
from protocol.mempool import PENDING_PER_MEMBER_MAX
from protocol.messages import OperationMessage
from protocol.operations import SubmitUpdate, sign_operation
from protocol.units import Height, MemberId, Millis, Sequence
from tests.sim.memory_transport import MemoryTransport
from tests.sim.tier_b.whole import WholeNode

REQUESTS_AT_A_TIME: Final = 20
"""To every member and service: more than anybody serves."""
REQUEST_TIMEOUT_MS: Final = Millis(8_000)
GOSSIP_PAUSE_S: Final = 0.05
MESSAGES_REMEMBERED: Final = 50


@dataclass(slots=True, kw_only=True)
class Pest:
    """One member's second life."""

    node: WholeNode
    random: random.Random
    until: trio.Event
    served_count: int = 0
    refused_count: int = 0
    heard: deque[tuple[Topic, bytes]] = field(default_factory=lambda: deque(maxlen=MESSAGES_REMEMBERED))
    """What others said lately, to be said again and again."""

    async def run(self) -> None:
        """Flood everybody until told to stop."""
        network = self.node.network
        addresses: dict[MemberId, tuple[str, ...]] = dict.fromkeys(network.members, ())
        transport = MemoryTransport(
            network=network, member=self.node.member, addresses=addresses, requests_max=1_000
        )
        async with trio.open_nursery() as nursery:
            for member in self._others:
                nursery.start_soon(self._flood_gossip, transport, member)
                for service in Service:
                    for _ in range(REQUESTS_AT_A_TIME):
                        nursery.start_soon(self._ask_again_and_again, transport, member, service)
            await self.until.wait()
            nursery.cancel_scope.cancel()

    @property
    def _others(self) -> list[MemberId]:
        return [member for member in self.node.network.members if member != self.node.member]

    async def _ask_again_and_again(self, transport: MemoryTransport, member: MemberId, service: Service) -> None:
        while True:
            reads = self.random.choice((self._read, self._read_slowly, self._never_read))
            request = self._make_request(service)
            try:
                await transport.request(member, service, request, reads, timeout_ms=REQUEST_TIMEOUT_MS)
                self.served_count += 1
            except NodeError:
                self.refused_count += 1
            await trio.sleep(self.random.random() * 0.5)

    def _make_request(self, service: Service) -> bytes:
        digest = self.node.genesis.model_digest
        match service:
            case Service.SYNC:
                return encode_sync_request(BlocksRequest(from_height=Height(self.random.randrange(2))))
            case Service.ARTIFACT if self.random.random() < 0.5:
                return encode_artifact_request(ChunkListRequest(digest=digest))
            case Service.ARTIFACT:
                return encode_artifact_request(ChunkRangeRequest(digest=digest, first_index=0, count=1))
            case Service.STATUS:
                return b""

    async def _read(self, _frame: bytes) -> None:
        await trio.lowlevel.checkpoint()

    async def _read_slowly(self, _frame: bytes) -> None:
        await trio.sleep(1.0)

    async def _never_read(self, _frame: bytes) -> None:
        await trio.sleep_forever()

    async def _flood_gossip(self, transport: MemoryTransport, member: MemberId) -> None:
        """Send what is true and old, what is false, and what is true and useless."""
        senders = (self._replay, self._replay, self._replay, self._send_garbage, self._order_artifacts)
        while True:
            await trio.sleep(self.random.random() * GOSSIP_PAUSE_S)
            if self.node.is_up and self.node.network.is_connected(self.node.member, member):
                self.random.choice(senders)(partial(transport.send, member))

    def _replay(self, send: "partial[None]") -> None:
        if self.heard:
            send(*self.random.choice(self.heard))

    def _send_garbage(self, send: "partial[None]") -> None:
        if self.random.random() < 0.05:
            send(self.random.choice(list(Topic)), self.random.randbytes(self.random.randrange(300)))

    def _order_artifacts(self, send: "partial[None]") -> None:
        """Name an artifact that is nowhere, under a number that is far ahead, so that everybody looks for it."""
        current, keys = self.node.state.round, self.node.keys
        if current is None:
            return
        schema, chain_id = self.node.genesis.schema, compute_chain_id(self.node.genesis)
        manifest = SubmitUpdate(
            round=current.round,
            base_digest=current.base_digest,
            scale_exponents=tuple(-20 for _ in get_trainable_tensors(schema)),
            artifact_digest=compute_digest(Domain.ARTIFACT, self.random.randbytes(32)),
            artifact_bytes=compute_update_size_bytes(schema),
            example_count=1,
        )
        first = get_account(self.node.state, self.node.member).next_sequence
        sequence = Sequence(first + self.random.randint(4, PENDING_PER_MEMBER_MAX - 1))
        operation = encode(sign_operation(chain_id, keys.key, sequence, manifest))
        send(Topic.OPERATIONS, encode(OperationMessage(operation=operation, attempt=0)))
