"""What every Transport promises, on libp2p over loopback and on the simulated network (L1, L9, W3, W5)."""

from functools import partial

import pytest
import trio

from node.errors import PeerMisbehaved, PeerUnreachable
from node.ports import SendFrame, Service
from protocol.errors import MalformedMessage
from protocol.gossip import Admission, Topic
from protocol.units import MemberId, Millis
from tests.contracts.peers import ABSENT, MEMBER_COUNT, PATIENCE_MS, Peer, open_peers
from tests.node.libp2p.members import make_member, wait_until

LARGEST_FRAME_BYTES = 524_288

pytestmark = pytest.mark.parametrize("kind", ["libp2p", "memory"])


async def answer_nothing(_member: MemberId, _request: bytes, _send: SendFrame) -> None:
    """Answer without a frame."""


async def fail(_member: MemberId, _request: bytes, send: SendFrame) -> None:
    """Fail in the middle of an answer."""
    await send(b"first")
    raise MalformedMessage("a request that this handler refuses")


async def stall(_member: MemberId, _request: bytes, send: SendFrame) -> None:
    """Begin an answer and never end it."""
    await send(b"first")
    await trio.sleep_forever()


async def send_largest(_member: MemberId, _request: bytes, send: SendFrame) -> None:
    """Answer with frames of the largest size."""
    for number in range(3):
        await send(bytes([number]) * LARGEST_FRAME_BYTES)


def has_messages(peer: Peer, count: int) -> bool:
    """Return whether a node has got so many gossip messages."""
    return len(peer.mailbox.messages) == count


async def test_a_message_reaches_all_others_once_and_not_its_sender(kind: str) -> None:
    async with open_peers(kind) as (first, second, third):
        for number in range(5):
            await first.transport.publish(Topic.CONSENSUS, bytes([number]) * 100)
        for receiver in (second, third):
            await wait_until(partial(has_messages, receiver, 5))
            assert sorted(receiver.mailbox.get_bodies()) == [bytes([number]) * 100 for number in range(5)]
            assert {topic for topic, _, _ in receiver.mailbox.messages} == {Topic.CONSENSUS}
        assert first.mailbox.messages == []


async def test_a_message_names_a_neighbour_that_delivered_it(kind: str) -> None:
    async with open_peers(kind) as (first, second, third):
        await first.transport.publish(Topic.OPERATIONS, b"message")
        await wait_until(lambda: bool(second.mailbox.messages))
        assert second.mailbox.messages[0][1] in {first.member, third.member}


async def test_a_rejected_message_lowers_the_score_of_its_deliverer(kind: str) -> None:
    async with open_peers(kind) as (first, second, _):
        second.mailbox.admission = Admission.REJECT
        await first.transport.publish(Topic.CONSENSUS, b"a message that breaks a rule")
        await wait_until(lambda: second.get_score(first.member) < 0)
        assert first.get_score(second.member) == 0


async def test_an_ignored_message_blames_nobody(kind: str) -> None:
    async with open_peers(kind) as (first, second, _):
        second.mailbox.admission = Admission.IGNORE
        await first.transport.publish(Topic.CONSENSUS, b"a message that came too late")
        await wait_until(lambda: bool(second.mailbox.messages))
        assert second.get_score(first.member) == 0


async def test_peers_are_all_other_members_sorted(kind: str) -> None:
    async with open_peers(kind) as (first, second, third):
        peers = first.transport.get_peers()
        members = [peer.member for peer in peers]
        assert members == sorted({second.member, third.member, ABSENT})
        assert {peer.member for peer in peers if peer.is_connected} == {second.member, third.member}


async def test_a_lowered_score_shows(kind: str) -> None:
    async with open_peers(kind) as (first, second, third):
        first.transport.lower_score(second.member, by=30)
        assert -30 <= first.get_score(second.member) <= -28
        assert first.get_score(third.member) == 0


async def test_the_frames_of_an_answer_come_in_order_and_name_the_requester(kind: str) -> None:
    async with open_peers(kind) as (first, second, _):
        assert await first.ask(second.member, b"request") == [first.member, b"request"]


async def test_many_requests_run_at_a_time(kind: str) -> None:
    async with open_peers(kind) as (first, second, third):
        answers: dict[int, list[bytes]] = {}

        async def ask_one(number: int) -> None:
            target = second if number % 2 else third
            answers[number] = await first.ask(target.member, bytes([number]))

        async with trio.open_nursery() as nursery:
            for number in range(12):
                nursery.start_soon(ask_one, number)
        assert answers == {number: [first.member, bytes([number])] for number in range(12)}


async def test_an_answer_may_be_empty(kind: str) -> None:
    async with open_peers(kind, answer_nothing) as (first, second, _):
        assert await first.ask(second.member) == []


async def test_frames_of_the_largest_size_pass(kind: str) -> None:
    async with open_peers(kind, send_largest) as (first, second, _):
        frames = await first.ask(second.member)
        assert [(frame[0], len(frame)) for frame in frames] == [(n, LARGEST_FRAME_BYTES) for n in range(3)]


async def test_a_member_that_is_not_up_is_unreachable(kind: str) -> None:
    async with open_peers(kind) as (first, _, _):
        with pytest.raises(PeerUnreachable):
            await first.ask(ABSENT)


async def test_a_service_that_is_not_served_is_unreachable(kind: str) -> None:
    async with open_peers(kind) as (first, second, _):
        with pytest.raises(PeerUnreachable):
            await first.ask(second.member, service=Service.ARTIFACT)


async def test_a_failing_handler_cuts_its_own_answer_only(kind: str) -> None:
    async with open_peers(kind, fail) as (first, second, third):
        for requester in (first, third, first):
            with pytest.raises(PeerUnreachable):
                await requester.ask(second.member)
        assert all(peer.is_connected for peer in first.transport.get_peers() if peer.member != ABSENT)


async def test_an_answer_that_does_not_end_in_time_is_given_up(kind: str) -> None:
    async with open_peers(kind, stall) as (first, second, _):
        frames: list[bytes] = []

        async def receive(frame: bytes) -> None:
            frames.append(frame)

        with trio.fail_after(10), pytest.raises(PeerUnreachable):
            await first.transport.request(second.member, Service.SYNC, b"", receive, timeout_ms=Millis(300))
        assert frames == [b"first"]


async def test_what_the_requester_raises_ends_the_request_unchanged(kind: str) -> None:
    async with open_peers(kind) as (first, second, _):

        async def refuse(_frame: bytes) -> None:
            raise PeerMisbehaved("the first frame is wrong")

        with pytest.raises(PeerMisbehaved, match="the first frame is wrong"):
            await first.transport.request(second.member, Service.SYNC, b"", refuse, timeout_ms=PATIENCE_MS)
        assert await first.ask(second.member, b"again") == [first.member, b"again"]


def set_members(of: Peer, *members: Peer) -> None:
    """Tell a node that these are the members."""
    of.transport.set_members({peer.member: peer.addresses for peer in members})


async def test_the_peers_are_the_members_it_was_told_last_whether_it_is_one_of_them_or_not(kind: str) -> None:
    async with open_peers(kind) as (first, second, third):
        for members in ((first, second), (second,)):
            set_members(first, *members)
            assert [peer.member for peer in first.transport.get_peers()] == [second.member]
        newcomer = make_member(MEMBER_COUNT)
        first.transport.set_members({newcomer: ("/ip4/127.0.0.1/tcp/1",), third.member: third.addresses})
        assert [peer.member for peer in first.transport.get_peers()] == sorted([newcomer, third.member])
        told = next(peer for peer in first.transport.get_peers() if peer.member == newcomer)
        assert (told.is_connected, told.addresses, told.score) == (False, ("/ip4/127.0.0.1/tcp/1",), 0)


async def test_a_member_that_left_is_cut_off_in_both_directions_and_the_others_are_not(kind: str) -> None:
    async with open_peers(kind) as (first, second, third):
        for peer in (first, second):
            set_members(peer, first, second)
        with pytest.raises(PeerUnreachable):
            await first.ask(third.member)
        await wait_until(lambda: not third.is_connected(first.member) and not third.is_connected(second.member))
        with pytest.raises(PeerUnreachable):
            await third.ask(first.member)
        await third.transport.publish(Topic.CONSENSUS, b"from somebody who left")
        await first.transport.publish(Topic.CONSENSUS, b"among ourselves")
        await wait_until(lambda: bool(second.mailbox.messages))
        assert await first.ask(second.member) == [first.member, b""]
        assert second.mailbox.get_bodies() == [b"among ourselves"]
        assert first.mailbox.messages == third.mailbox.messages == []


async def test_a_member_that_comes_back_is_connected_again_and_hears_everything(kind: str) -> None:
    async with open_peers(kind) as (first, second, third):
        set_members(first, second)
        await wait_until(lambda: not third.is_connected(first.member))
        set_members(first, second, third)
        await wait_until(lambda: first.is_connected(third.member) and third.is_connected(first.member))
        assert await first.ask(third.member) == [first.member, b""]
        assert await third.ask(first.member) == [third.member, b""]
        for number in range(100):
            # Until gossip flows in both directions, what is published may be lost.
            await first.transport.publish(Topic.CONSENSUS, bytes([number]))
            await trio.sleep(0.05)
            if third.mailbox.messages:
                return
        pytest.fail("nothing arrived")


async def test_a_connection_needs_both_ends_to_take_each_other_for_members(kind: str) -> None:
    async with open_peers(kind) as (first, second, third):
        for peer in (second, third):
            set_members(peer, second, third)
        await wait_until(lambda: not first.is_connected(second.member) and not first.is_connected(third.member))
        assert [peer.member for peer in first.transport.get_peers()] == sorted({second.member, third.member, ABSENT})
        with pytest.raises(PeerUnreachable):
            await first.ask(second.member)


@pytest.mark.parametrize("is_requester_told", [True, False], ids=["by the requester", "by the one asked"])
async def test_a_request_under_way_fails_when_a_member_is_removed(kind: str, is_requester_told: bool) -> None:
    async with open_peers(kind, stall) as (first, second, third):
        begun = trio.Event()
        ended = trio.Event()

        async def receive(_frame: bytes) -> None:
            begun.set()

        async def request() -> None:
            with pytest.raises(PeerUnreachable):
                await first.transport.request(second.member, Service.SYNC, b"", receive, timeout_ms=PATIENCE_MS)
            ended.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(request)
            await begun.wait()
            if is_requester_told:
                set_members(first, third)
            else:
                set_members(second, third)
            with trio.fail_after(PATIENCE_MS / 2_000):
                await ended.wait()


async def test_the_score_of_a_member_that_left_is_forgotten_and_not_kept_any_more(kind: str) -> None:
    async with open_peers(kind) as (first, second, third):
        first.transport.lower_score(second.member, by=30)
        set_members(first, third)
        first.transport.lower_score(second.member, by=30)
        set_members(first, second, third)
        assert first.get_score(second.member) == 0


async def test_a_message_under_way_from_a_member_that_is_removed_is_not_heard(kind: str) -> None:
    async with open_peers(kind) as (first, second, third):
        await first.transport.publish(Topic.CONSENSUS, b"too late")
        for peer in (second, third):
            set_members(peer, second, third)
        await third.transport.publish(Topic.CONSENSUS, b"marker")
        await wait_until(lambda: bool(second.mailbox.messages))
        assert second.mailbox.get_bodies() == [b"marker"]
