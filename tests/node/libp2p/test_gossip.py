"""Gossip over real connections: delivery, judgement before forwarding, scores, and malice (W3, W4)."""

import pytest
import trio
from libp2p.pubsub.pb import rpc_pb2
from structlog.testing import capture_logs

from node.libp2p_transport.faults import LinkFailed
from node.libp2p_transport.frames import encode_frame
from protocol.errors import InvariantViolation
from protocol.gossip import Admission, Topic
from protocol.units import MemberId, Millis
from tests.node.libp2p.members import (
    introduce,
    make_member,
    make_settings,
    open_node,
    open_nodes,
    open_rogue,
    wait_until,
    write_until_cut,
)


async def test_a_message_reaches_all_others_once_and_never_its_publisher() -> None:
    async with open_nodes(4) as nodes:
        await nodes[0].transport.publish(Topic.BEACON, b"hello")
        await wait_until(lambda: all(node.mailbox.messages for node in nodes[1:]))
        await trio.sleep(0.4)
        assert [node.mailbox.get_bodies() for node in nodes] == [[], [b"hello"], [b"hello"], [b"hello"]]
        assert {topic for node in nodes for topic, _, _ in node.mailbox.messages} == {Topic.BEACON}


async def test_a_burst_arrives_complete() -> None:
    bodies = [b"%d" % number for number in range(300)]
    async with open_nodes(4) as nodes:
        for body in bodies:
            for node in nodes:
                await node.transport.publish(Topic.CONSENSUS, node.member + body)
        await wait_until(lambda: all(len(node.mailbox.messages) >= 900 for node in nodes))
        assert all(len(set(node.mailbox.get_bodies())) == 900 for node in nodes)
        assert all(node.transport.get_dropped_count() == 0 for node in nodes)


async def test_what_is_published_as_soon_as_a_member_is_connected_arrives() -> None:
    async with open_node(make_settings(0, count=2)) as early, open_node(make_settings(1, count=2)) as late:
        introduce(early, late)
        await late.transport.wait_connected(1)
        await late.transport.publish(Topic.CONSENSUS, b"first words")
        await wait_until(lambda: early.mailbox.get_bodies() == [b"first words"])


async def test_an_attempt_counter_makes_a_message_new() -> None:
    """W4: the same bytes are delivered once, a deliberate re-send as often as it is counted up."""
    async with open_nodes(2) as (sender, receiver):
        for body in (b"vote, attempt 0", b"vote, attempt 0", b"vote, attempt 1"):
            await sender.transport.publish(Topic.CONSENSUS, body)
        await wait_until(lambda: len(receiver.mailbox.messages) >= 2)
        assert receiver.mailbox.get_bodies() == [b"vote, attempt 0", b"vote, attempt 1"]


@pytest.mark.parametrize(
    ("admission", "is_forwarded", "score"),
    [(Admission.ACCEPT, True, 0), (Admission.IGNORE, False, 0), (Admission.REJECT, False, -10)],
)
async def test_a_message_is_judged_before_it_is_forwarded(admission: Admission, is_forwarded: bool, score: int) -> None:
    """W3: in a line of three, the middle one decides what the last one sees and whom it blames."""
    async with (
        open_node(make_settings(0, count=3)) as first,
        open_node(make_settings(1, count=3)) as middle,
        open_node(make_settings(2, count=3)) as last,
    ):
        introduce(first, middle)
        introduce(middle, last)
        await middle.transport.wait_connected(2)
        middle.mailbox.admission = admission
        await first.transport.publish(Topic.CONSENSUS, b"pass on")
        await wait_until(lambda: bool(middle.mailbox.messages))
        middle.mailbox.admission = Admission.ACCEPT
        await first.transport.publish(Topic.CONSENSUS, b"marker")
        await wait_until(lambda: b"marker" in last.mailbox.get_bodies())
        assert (b"pass on" in last.mailbox.get_bodies()) is is_forwarded
        assert [neighbour for _, neighbour, _ in last.mailbox.messages][-1] == middle.member
        assert middle.get_score(first.member) == pytest.approx(score, abs=1)


async def test_a_peer_below_the_limit_is_disconnected_refused_and_welcome_again_later() -> None:
    async with open_nodes(2, score_limit=-30, penalty_ms=Millis(700)) as (bad, judge):
        judge.mailbox.admission = Admission.REJECT
        for number in range(4):
            await bad.transport.publish(Topic.CONSENSUS, b"forged %d" % number)
        await wait_until(lambda: not judge.is_connected(bad.member))
        refused_at = trio.current_time()
        assert judge.get_score(bad.member) > -30
        await wait_until(lambda: judge.is_connected(bad.member))
        assert trio.current_time() - refused_at > 0.4


async def test_the_caller_can_lower_a_score_down_to_disconnection() -> None:
    async with open_nodes(2) as (judge, bad):
        judge.transport.lower_score(bad.member, by=40)
        assert judge.get_score(bad.member) == pytest.approx(-40, abs=1)
        assert judge.is_connected(bad.member)
        judge.transport.lower_score(bad.member, by=70)
        await wait_until(lambda: not judge.is_connected(bad.member))


async def test_a_score_recovers_by_itself() -> None:
    async with open_nodes(2, score_recovery_ms=Millis(10)) as (judge, other):
        judge.transport.lower_score(other.member, by=20)
        await wait_until(lambda: judge.get_score(other.member) == 0)


async def test_a_member_cut_off_from_the_publisher_gets_the_message_through_others() -> None:
    async with (
        open_node(make_settings(0, count=3)) as publisher,
        open_node(make_settings(1, count=3)) as between,
        open_node(make_settings(2, count=3)) as cut_off,
    ):
        introduce(publisher, between)
        introduce(between, cut_off)
        await between.transport.wait_connected(2)
        for number in range(50):
            await publisher.transport.publish(Topic.OPERATIONS, b"%d" % number)
        await wait_until(lambda: len(cut_off.mailbox.messages) >= 50)


async def test_a_message_that_a_peer_missed_is_fetched_after_a_heartbeat() -> None:
    async with (
        open_node(make_settings(0, count=3)) as publisher,
        open_node(make_settings(1, count=3, heartbeat_ms=Millis(700))) as other,
        open_node(make_settings(2, count=3)) as late,
    ):
        introduce(publisher, other)
        await other.transport.wait_connected(1)
        await publisher.transport.publish(Topic.CONSENSUS, b"before you came")
        await wait_until(lambda: bool(other.mailbox.messages))
        introduce(other, late)
        await wait_until(lambda: late.mailbox.get_bodies() == [b"before you came"])


async def test_a_message_over_the_limit_is_our_own_mistake() -> None:
    async with open_nodes(2) as (sender, _):
        with pytest.raises(InvariantViolation, match="over the limit"):
            await sender.transport.publish(Topic.CONSENSUS, bytes(262_145))
        await sender.transport.publish(Topic.CONSENSUS, bytes(262_144))


def _envelope(topic: str, data: bytes) -> bytes:
    return encode_frame(rpc_pb2.RPC(publish=[rpc_pb2.Message(topicIDs=[topic], data=data)]).SerializeToString())


ANNOUNCED_64_MIB = bytes((0x80, 0x80, 0x80, 0x20))


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([ANNOUNCED_64_MIB, *[bytes(65_536)] * 1_024], id="a message of 64 MiB"),
        pytest.param([b"\xff" * 64], id="a length that is no number"),
        pytest.param([encode_frame(b"\xff" * 200)], id="an envelope that does not decode"),
    ],
)
async def test_what_no_correct_member_sends_gets_it_banned_at_once_and_logged_once(chunks: list[bytes]) -> None:
    rogue_settings = make_settings(2, count=3)
    with capture_logs() as logs:
        async with open_node(make_settings(0, count=3)) as target, open_node(make_settings(1, count=3)) as witness:
            introduce(target, witness)
            await target.transport.wait_connected(1)
            async with open_rogue(rogue_settings, target) as rogue:
                stream = await rogue.open_gossip_stream()
                assert await write_until_cut(stream, chunks) < 2_000_000
                await wait_until(lambda: not target.is_connected(make_member(2)))
            for _ in range(3):
                with pytest.raises(LinkFailed):
                    async with open_rogue(rogue_settings, target):
                        pass
            await target.transport.publish(Topic.CONSENSUS, b"life goes on")
            await wait_until(lambda: witness.mailbox.get_bodies() == [b"life goes on"])
    assert [entry["event"] for entry in logs if entry["log_level"] != "info"].count("peer_banned") == 1


@pytest.mark.parametrize("topic", ["/pnyx/somewhere/else", ""])
async def test_a_message_of_no_known_topic_is_rejected(topic: str) -> None:
    async with open_node(make_settings(0, count=2)) as target, open_rogue(make_settings(1, count=2), target) as rogue:
        stream = await rogue.open_gossip_stream()
        await stream.write(_envelope(topic, b"body"))
        await wait_until(lambda: target.get_score(make_member(1)) < 0)
        assert target.mailbox.messages == []


async def test_a_message_that_just_fits_the_envelope_but_not_the_limit_is_rejected() -> None:
    settings = make_settings(1, count=2)
    async with open_node(make_settings(0, count=2)) as target, open_rogue(settings, target) as rogue:
        stream = await rogue.open_gossip_stream()
        await stream.write(_envelope(settings.get_topic_name(Topic.BEACON), bytes(262_145)))
        await wait_until(lambda: target.get_score(make_member(1)) < 0)
        assert target.mailbox.messages == []


async def test_a_handler_that_fails_takes_the_transport_down_with_its_error() -> None:
    def fail(topic: Topic, neighbour: MemberId, data: bytes) -> Admission:
        raise InvariantViolation("our own bug")

    with pytest.RaisesGroup(InvariantViolation, flatten_subgroups=True):
        async with (
            open_node(make_settings(0, count=2)) as sender,
            open_node(make_settings(1, count=2), on_gossip=fail) as receiver,
        ):
            introduce(sender, receiver)
            await sender.transport.wait_connected(1)
            await sender.transport.publish(Topic.CONSENSUS, b"boom")
            await trio.sleep_forever()
