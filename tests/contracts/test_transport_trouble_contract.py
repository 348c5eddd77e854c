"""What every Transport promises when peers are slow, leave or misbehave, on libp2p and on the simulation (W5)."""

from dataclasses import dataclass, field

import pytest
import trio

from node.errors import PeerUnreachable
from node.ports import SendFrame, Service
from protocol.gossip import Admission, Topic
from protocol.units import MemberId, Millis
from tests.contracts.peers import PATIENCE_MS, Patience, open_peers
from tests.node.libp2p.members import wait_until

FRAME_BYTES = 100_000

pytestmark = pytest.mark.parametrize("kind", ["libp2p", "memory"])


@dataclass(slots=True)
class Pourer:
    """Answers with many large frames, and tells how far it came."""

    frames_max: int = 1_000
    sent_count: int = 0
    ended: trio.Event = field(default_factory=trio.Event)

    async def __call__(self, _member: MemberId, _request: bytes, send: SendFrame) -> None:
        try:
            for _ in range(self.frames_max):
                await send(bytes(FRAME_BYTES))
                self.sent_count += 1
        finally:
            self.ended.set()


@dataclass(slots=True)
class Crowd:
    """Counts how many answers run at a time; they end when the test says so."""

    gate: trio.Event = field(default_factory=trio.Event)
    running: int = 0
    most: int = 0

    async def __call__(self, _member: MemberId, request: bytes, send: SendFrame) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.gate.wait()
            await send(request)
        finally:
            self.running -= 1


async def test_publishing_to_nobody_is_no_error(kind: str) -> None:
    async with open_peers(kind) as (first, second, third):
        second.bring_down()
        third.bring_down()
        await wait_until(lambda: not any(peer.is_connected for peer in first.transport.get_peers()))
        await first.transport.publish(Topic.CONSENSUS, b"nobody hears this")


async def test_who_is_left_hears_what_is_published_after_one_went_down(kind: str) -> None:
    async with open_peers(kind) as (first, second, third):
        second.bring_down()
        await first.transport.publish(Topic.CONSENSUS, b"still here")
        await wait_until(lambda: third.mailbox.get_bodies() == [b"still here"])
        await wait_until(lambda: not first.is_connected(second.member))
        assert first.is_connected(third.member)


async def test_an_answer_whose_server_goes_down_is_cut_at_once(kind: str) -> None:
    pourer = Pourer()
    async with open_peers(kind, pourer) as (first, second, _):
        received: list[int] = []

        async def receive(frame: bytes) -> None:
            received.append(len(frame))
            if len(received) == 3:
                second.bring_down()
            await trio.sleep(0.01)

        with trio.fail_after(10), pytest.raises(PeerUnreachable):
            await first.transport.request(second.member, Service.SYNC, b"", receive, timeout_ms=PATIENCE_MS)
        assert 3 <= len(received) < pourer.frames_max
        assert set(received) == {FRAME_BYTES}


async def test_a_requester_that_leaves_ends_the_answer(kind: str) -> None:
    pourer = Pourer(frames_max=1_000_000)
    async with open_peers(kind, pourer) as (first, second, _):

        async def receive(_frame: bytes) -> None:
            leaving.cancel()
            await trio.sleep_forever()

        with trio.fail_after(10):
            with trio.CancelScope() as leaving:
                await first.transport.request(second.member, Service.SYNC, b"", receive, timeout_ms=PATIENCE_MS)
            await pourer.ended.wait()
        assert leaving.cancelled_caught


async def test_a_sender_waits_for_a_slow_requester(kind: str) -> None:
    pourer = Pourer(frames_max=60)
    async with open_peers(kind, pourer) as (first, second, _), trio.open_nursery() as nursery:
        gate = trio.Event()
        received = 0

        async def receive(_frame: bytes) -> None:
            nonlocal received
            await gate.wait()
            received += 1

        async def ask() -> None:
            await first.transport.request(second.member, Service.SYNC, b"", receive, timeout_ms=PATIENCE_MS)

        nursery.start_soon(ask)
        await wait_until(lambda: pourer.sent_count > 0)
        await trio.sleep(0.2)
        assert pourer.sent_count < 15
        gate.set()
        await wait_until(lambda: received == 60)


async def test_a_requester_that_stops_reading_loses_its_answer_and_frees_the_server(kind: str) -> None:
    pourer = Pourer()
    patience = Patience(request_idle_ms=Millis(200))
    async with open_peers(kind, pourer, patience) as (first, second, _):

        async def receive(_frame: bytes) -> None:
            await pourer.ended.wait()

        with trio.fail_after(10), pytest.raises(PeerUnreachable):
            await first.transport.request(second.member, Service.SYNC, b"", receive, timeout_ms=PATIENCE_MS)
        assert pourer.sent_count < 15


async def test_requests_over_the_limit_wait_their_turn(kind: str) -> None:
    crowd = Crowd()
    async with open_peers(kind, crowd) as (first, second, _), trio.open_nursery() as nursery:
        answers: list[bytes] = []

        async def ask(number: int) -> None:
            answers.extend(await first.ask(second.member, bytes([number])))

        for number in range(30):
            nursery.start_soon(ask, number)
        await wait_until(lambda: crowd.running == 8)
        await trio.sleep(0.1)
        assert crowd.running == 8
        crowd.gate.set()
        await wait_until(lambda: len(answers) == 30)
        assert crowd.most == 8
        assert sorted(answers) == [bytes([number]) for number in range(30)]


async def test_waiting_for_a_turn_is_part_of_the_deadline(kind: str) -> None:
    crowd = Crowd()
    async with open_peers(kind, crowd) as (first, second, third), trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(first.ask, second.member, bytes([number]))
        await wait_until(lambda: crowd.running == 8)

        async def receive(_frame: bytes) -> None:
            raise AssertionError("nobody answers this")

        with trio.fail_after(10), pytest.raises(PeerUnreachable):
            await first.transport.request(second.member, Service.SYNC, b"", receive, timeout_ms=Millis(300))
        # One member's crowd is no other member's.
        nursery.start_soon(third.ask, second.member, b"another requester")
        await wait_until(lambda: crowd.running == 9)
        crowd.gate.set()


async def test_a_peer_below_the_limit_is_refused_for_a_while_and_welcome_again(kind: str) -> None:
    async with open_peers(kind, patience=Patience(penalty_ms=Millis(500))) as (first, second, third):
        second.mailbox.admission = Admission.REJECT
        for number in range(20):
            await first.transport.publish(Topic.CONSENSUS, b"forged %d" % number)
        await wait_until(lambda: not second.is_connected(first.member))
        assert second.get_score(first.member) > -100
        with pytest.raises(PeerUnreachable):
            await second.ask(first.member)
        assert first.is_connected(third.member)
        await wait_until(lambda: second.is_connected(first.member) and first.is_connected(second.member))
        assert await second.ask(first.member, b"again") == [second.member, b"again"]


async def test_a_score_recovers_by_itself(kind: str) -> None:
    async with open_peers(kind, patience=Patience(score_recovery_ms=Millis(10))) as (first, second, _):
        first.transport.lower_score(second.member, by=20)
        assert first.get_score(second.member) < 0
        await wait_until(lambda: first.get_score(second.member) == 0)


async def test_what_passes_is_counted(kind: str) -> None:
    async with open_peers(kind) as (first, second, _):

        def get_traffic() -> tuple[int, int]:
            (peer,) = [peer for peer in first.transport.get_peers() if peer.member == second.member]
            return peer.bytes_sent, peer.bytes_received

        sent, received = get_traffic()
        await first.transport.publish(Topic.CONSENSUS, bytes(10_000))
        await wait_until(lambda: bool(second.mailbox.messages))
        assert get_traffic()[0] >= sent + 10_000
        await first.ask(second.member, bytes(5_000))
        assert get_traffic()[0] >= sent + 15_000
        assert get_traffic()[1] >= received + 5_000
