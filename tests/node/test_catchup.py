"""Catching up: blocks come from whoever has them, liars are scored down, and a quiet network is asked how far it is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio
import trio.testing
from trio.testing import MockClock

from node.catchup import POLL_INTERVAL_S, REQUEST_TIMEOUT_MS, BlockFetcher
from node.inbox import Inbox
from node.ports import SendFrame, Service
from node.services import Progress, StatusService, SyncService
from node.timings import Timings
from protocol.blocks import Block, compute_block_hash
from protocol.genesis import compute_chain_id
from protocol.gossip import Admission, Topic
from protocol.interface import BlockFetched, BlocksFetched, FinalizedBlock
from protocol.units import Digest, Height, MemberId, View
from tests.founders import make_founders
from tests.helpers import LedgerBuilder, make_genesis
from tests.sim.memory_transport import MemoryNetwork, MemoryTransport, open_memory_network

FOUNDERS = make_founders(4)
GENESIS = make_genesis(FOUNDERS)
ME, *OTHERS = (keys.member for keys in FOUNDERS)


@dataclass(slots=True)
class Chain:
    """What one member serves."""

    blocks: list[FinalizedBlock] = field(default_factory=list)

    def get_blocks(self, from_height: Height, *, bytes_max: int) -> tuple[FinalizedBlock, ...]:
        """Return at most two blocks at a time, so that several requests are needed."""
        return tuple(self.blocks[from_height - 1 : from_height + 1])

    def get_body(self, block_hash: Digest) -> Block | None:
        for finalized in self.blocks:
            if compute_block_hash(compute_chain_id(GENESIS), finalized.block.header) == block_hash:
                return finalized.block
        return None

    def get_progress(self, _member: MemberId) -> Progress:
        return Progress(height=Height(len(self.blocks)), view=View(1), votes=())


@dataclass(slots=True)
class Learner:
    """A node that catches up: an inbox, and a height that grows with each good batch."""

    inbox: Inbox
    fetcher: BlockFetcher
    transport: MemoryTransport
    heights: list[Height]

    async def follow(self) -> None:
        """Take what is fetched, as the engine would."""
        while True:
            for event in await self.inbox.take(wait_s=None):
                if isinstance(event, BlocksFetched):
                    self.heights.append(event.blocks[-1].block.header.height)
                    self.fetcher.note_height()


def build_chain(length: int) -> Chain:
    builder = LedgerBuilder(founders=FOUNDERS)
    for _ in range(length):
        builder.add_block()
    blocks = [built.block for built in builder.blocks]
    return Chain(blocks=[FinalizedBlock(block=block, certificate=builder.certify(block)) for block in blocks])


def ignore_gossip(_topic: Topic, _neighbour: MemberId, _message: bytes) -> Admission:
    return Admission.IGNORE


def serve(network: MemoryNetwork, member: MemberId, chain: Chain) -> None:
    services = {
        Service.SYNC: SyncService(chain, chain.get_body).handle,
        Service.STATUS: StatusService(chain.get_progress).handle,
    }
    network.attach(member, gossip=ignore_gossip, services=services)


@asynccontextmanager
async def run_learner(network: MemoryNetwork) -> AsyncIterator[Learner]:
    transport = network.attach(ME, gossip=ignore_gossip, services={})
    heights = [Height(0)]
    inbox = Inbox()
    fetcher = BlockFetcher(transport=transport, inbox=inbox, get_height=lambda: heights[-1], timings=Timings())
    learner = Learner(inbox=inbox, fetcher=fetcher, transport=transport, heights=heights)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fetcher.run)
        nursery.start_soon(learner.follow)
        yield learner
        nursery.cancel_scope.cancel()


async def wait_height(learner: Learner, height: int) -> None:
    with trio.fail_after(600.0):
        while learner.heights[-1] < height:
            await trio.sleep(0.05)


async def test_blocks_are_fetched_until_the_member_has_no_more(autojump_clock: MockClock) -> None:
    chain = build_chain(7)
    async with open_memory_network(ME, *OTHERS) as network:
        serve(network, OTHERS[0], chain)
        async with run_learner(network) as learner:
            learner.fetcher.want_blocks(Height(1), OTHERS[0])
            await wait_height(learner, 7)
    assert learner.heights == [0, 2, 4, 6, 7]


async def test_the_hinted_member_is_asked_first(autojump_clock: MockClock) -> None:
    chain = build_chain(1)
    async with open_memory_network(ME, *OTHERS) as network:
        for member in OTHERS:
            serve(network, member, chain)
        async with run_learner(network) as learner:
            learner.fetcher.want_blocks(Height(1), OTHERS[2])
            await wait_height(learner, 1)
    assert network.requests[0][1] == OTHERS[2]


async def test_a_member_that_goes_away_is_replaced_by_another(autojump_clock: MockClock) -> None:
    chain = build_chain(6)
    async with open_memory_network(ME, *OTHERS) as network:
        for member in OTHERS[:2]:
            serve(network, member, chain)
        network.get_link(OTHERS[0], ME).frames_max = 1
        async with run_learner(network) as learner:
            learner.fetcher.want_blocks(Height(6), OTHERS[0])
            await wait_height(learner, 6)


async def _say_nothing(_member: MemberId, _request: bytes, _send: SendFrame) -> None:
    await trio.sleep_forever()


async def test_a_member_that_is_connected_and_silent_is_soon_left_for_another(autojump_clock: MockClock) -> None:
    """A suspended or cut off member keeps its connection until it has answered no ping for ten seconds."""
    chain = build_chain(2)
    async with open_memory_network(ME, *OTHERS) as network:
        for member in OTHERS[:2]:
            network.attach(member, gossip=ignore_gossip, services={Service.SYNC: _say_nothing})
        serve(network, OTHERS[2], chain)
        async with run_learner(network) as learner:
            learner.fetcher.want_blocks(Height(2), OTHERS[0])
            with trio.fail_after(REQUEST_TIMEOUT_MS / 1_000):
                await wait_height(learner, 2)


async def test_members_that_are_all_slow_are_waited_for(autojump_clock: MockClock) -> None:
    chain = build_chain(6)
    service = SyncService(chain, chain.get_body)

    async def take_long(member: MemberId, request: bytes, send: SendFrame) -> None:
        await trio.sleep(0.8 * REQUEST_TIMEOUT_MS / 1_000)
        await service.handle(member, request, send)

    async with open_memory_network(ME, *OTHERS) as network:
        for member in OTHERS:
            network.attach(member, gossip=ignore_gossip, services={Service.SYNC: take_long})
        async with run_learner(network) as learner:
            learner.fetcher.want_blocks(Height(6), OTHERS[0])
            await wait_height(learner, 6)


async def test_a_member_that_sends_garbage_is_scored_down_and_another_asked(autojump_clock: MockClock) -> None:
    chain = build_chain(2)

    async def lie(_member: MemberId, _request: bytes, send: SendFrame) -> None:
        await send(b"\xc1 not a block")

    async with open_memory_network(ME, *OTHERS) as network:
        network.attach(OTHERS[0], gossip=ignore_gossip, services={Service.SYNC: lie})
        serve(network, OTHERS[1], chain)
        async with run_learner(network) as learner:
            learner.fetcher.want_blocks(Height(2), OTHERS[0])
            await wait_height(learner, 2)
            assert learner.transport.scores[OTHERS[0]] < 0
            assert learner.transport.scores.get(OTHERS[1], 0) == 0


async def test_a_node_that_missed_everything_while_all_are_quiet_finds_out(autojump_clock: MockClock) -> None:
    chain = build_chain(3)
    async with open_memory_network(ME, *OTHERS) as network:
        serve(network, OTHERS[0], chain)
        async with run_learner(network) as learner:
            with trio.fail_after(3 * POLL_INTERVAL_S):
                await wait_height(learner, 3)


async def test_whoever_has_nothing_new_is_told_to_the_transport_and_nobody_else(autojump_clock: MockClock) -> None:
    async with open_memory_network(ME, *OTHERS) as network:
        serve(network, OTHERS[0], build_chain(3))
        async with run_learner(network) as learner:
            await wait_height(learner, 2)
            assert learner.transport.caught_up == []
            await wait_height(learner, 3)
            await trio.sleep(2 * POLL_INTERVAL_S)
            assert set(learner.transport.caught_up) == {OTHERS[0]}


async def test_a_node_that_is_up_to_date_asks_seldom(autojump_clock: MockClock) -> None:
    async with open_memory_network(ME, *OTHERS) as network:
        for member in OTHERS:
            serve(network, member, Chain())
        async with run_learner(network):
            await trio.sleep(10 * POLL_INTERVAL_S)
    assert 5 <= len(network.requests) <= 12


async def test_what_is_wanted_after_the_end_is_nobodys_business(autojump_clock: MockClock) -> None:
    async with open_memory_network(ME, *OTHERS) as network:
        async with run_learner(network) as learner:
            await trio.testing.wait_all_tasks_blocked()
        learner.fetcher.want_body(Digest(bytes(32)))
        learner.fetcher.want_blocks(Height(3), None)
        await trio.sleep(60.0)
    assert network.requests == []


async def test_an_unfinalized_body_is_asked_of_one_member_after_the_other(autojump_clock: MockClock) -> None:
    chain = build_chain(1)
    block = chain.blocks[0].block
    async with open_memory_network(ME, *OTHERS) as network:
        for member in OTHERS[:2]:
            serve(network, member, Chain())
        serve(network, OTHERS[2], chain)
        transport = network.attach(ME, gossip=ignore_gossip, services={})
        inbox = Inbox()
        fetcher = BlockFetcher(transport=transport, inbox=inbox, get_height=lambda: Height(9), timings=Timings())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fetcher.run)
            await trio.testing.wait_all_tasks_blocked()
            fetcher.want_body(compute_block_hash(compute_chain_id(GENESIS), block.header))
            with trio.fail_after(60.0):
                assert await inbox.take(wait_s=None) == [BlockFetched(block=block)]
            nursery.cancel_scope.cancel()
