"""What a node can tell of its own clock by the times that others give their blocks (C8)."""

import trio
import trio.testing

from node.peer_clocks import FORGOTTEN_AFTER_S, SAMPLE_GAP_S, SAMPLES, ClockReading, PeerClocks
from protocol.units import MemberId, Millis
from tests.node.fakes import TrioClock

CLOCK = TrioClock()
ALPHA, BETA, GAMMA = (MemberId(bytes([number]) * 32) for number in range(3))


def note(clocks: PeerClocks, member: MemberId, offset_ms: int) -> None:
    clocks.note(member, Millis(CLOCK.get_now_ms() + offset_ms))


async def hear(clocks: PeerClocks, member: MemberId, *offsets_ms: int) -> None:
    for offset_ms in offsets_ms:
        await trio.sleep(SAMPLE_GAP_S)
        note(clocks, member, offset_ms)


def read(clocks: PeerClocks) -> tuple[int, int]:
    """Return by how much the clock is behind and ahead."""
    reading = clocks.read(CLOCK.get_now_ms())
    return reading.behind_ms, reading.ahead_ms


async def test_nothing_is_said_before_somebody_was_heard_often_enough(autojump_clock: trio.testing.MockClock) -> None:
    clocks = PeerClocks()
    await hear(clocks, ALPHA, *[60_000] * (SAMPLES - 1))
    nothing = ClockReading(behind_ms=Millis(0), ahead_ms=Millis(0), member_count=0)
    assert clocks.read(CLOCK.get_now_ms()) == nothing


async def test_one_other_is_all_there_is_in_a_network_of_two(autojump_clock: trio.testing.MockClock) -> None:
    clocks = PeerClocks()
    await hear(clocks, ALPHA, *[60_000] * SAMPLES)
    assert read(clocks) == (60_000, 0)
    await hear(clocks, ALPHA, *[-60_000] * SAMPLES)
    assert read(clocks) == (0, 60_000)


async def test_a_proposal_that_came_late_accuses_nobody(autojump_clock: trio.testing.MockClock) -> None:
    clocks = PeerClocks()
    await hear(clocks, ALPHA, -90_000, -90_000, 0)
    assert read(clocks) == (0, 0)


async def test_what_came_late_all_at_once_is_one_sample(autojump_clock: trio.testing.MockClock) -> None:
    """As after a pause of this process."""
    clocks = PeerClocks()
    for member in (ALPHA, BETA, GAMMA):
        await hear(clocks, member, *[0] * SAMPLES)
    await trio.sleep(60.0)
    for member in (ALPHA, BETA, GAMMA):
        for late_ms in (-60_000, -40_000, -20_000):
            note(clocks, member, late_ms)
    assert read(clocks) == (0, 0)
    for member in (ALPHA, BETA, GAMMA):
        await hear(clocks, member, *[-30_000] * (SAMPLES - 1))
    assert read(clocks) == (0, 20_000)


async def test_who_proposes_all_the_time_is_counted_all_the_same(autojump_clock: trio.testing.MockClock) -> None:
    clocks = PeerClocks()
    for _ in range(2 * SAMPLES):
        note(clocks, ALPHA, -60_000)
        await trio.sleep(SAMPLE_GAP_S / 2)
    assert read(clocks) == (0, 60_000)


async def test_a_block_that_its_parent_pushed_ahead_accuses_nobody(autojump_clock: trio.testing.MockClock) -> None:
    clocks = PeerClocks()
    await hear(clocks, ALPHA, 4_000, 4_000, 0)
    assert read(clocks) == (0, 0)


async def test_fewer_than_half_of_the_others_cannot_accuse(autojump_clock: trio.testing.MockClock) -> None:
    clocks = PeerClocks()
    await hear(clocks, ALPHA, *[-60_000] * SAMPLES)
    await hear(clocks, BETA, *[0] * SAMPLES)
    assert read(clocks) == (0, 0)
    await hear(clocks, GAMMA, *[-50_000] * SAMPLES)
    assert read(clocks) == (0, 50_000)


async def test_a_clock_that_is_set_shows_at_once(autojump_clock: trio.testing.MockClock) -> None:
    clocks = PeerClocks()
    await hear(clocks, ALPHA, *[0] * SAMPLES)
    set_ahead = clocks.read(Millis(CLOCK.get_now_ms() + 7_000))
    assert set_ahead.ahead_ms == 7_000


async def test_who_proposes_no_more_is_forgotten(autojump_clock: trio.testing.MockClock) -> None:
    clocks = PeerClocks()
    await hear(clocks, ALPHA, *[-60_000] * SAMPLES)
    await trio.sleep(FORGOTTEN_AFTER_S + 1)
    assert clocks.read(CLOCK.get_now_ms()).member_count == 0
    note(clocks, ALPHA, -60_000)
    assert clocks.read(CLOCK.get_now_ms()).member_count == 0
