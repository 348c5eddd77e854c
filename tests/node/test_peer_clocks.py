"""What a node can tell of its own clock by the times that others give their blocks (C8)."""

import trio
import trio.testing

from node.peer_clocks import FORGOTTEN_AFTER_S, SAMPLES, ClockReading, PeerClocks
from protocol.units import MemberId, Millis

NOW_MS = Millis(1_700_000_000_000)
ALPHA, BETA, GAMMA = (MemberId(bytes([number]) * 32) for number in range(3))


def hear(clocks: PeerClocks, member: MemberId, *offsets_ms: int) -> None:
    for offset_ms in offsets_ms:
        clocks.note(member, Millis(NOW_MS + offset_ms))


def read(clocks: PeerClocks) -> tuple[int, int]:
    """Return by how much the clock is behind and ahead, to a tenth of a second, since time goes on meanwhile."""
    reading = clocks.read(NOW_MS)
    return round(reading.behind_ms, -2), round(reading.ahead_ms, -2)


async def test_nothing_is_said_before_somebody_was_heard_often_enough() -> None:
    clocks = PeerClocks()
    hear(clocks, ALPHA, *[60_000] * (SAMPLES - 1))
    assert clocks.read(NOW_MS) == ClockReading(behind_ms=Millis(0), ahead_ms=Millis(0), member_count=0)


async def test_one_other_is_all_there_is_in_a_network_of_two() -> None:
    clocks = PeerClocks()
    hear(clocks, ALPHA, *[60_000] * SAMPLES)
    assert read(clocks) == (60_000, 0)
    hear(clocks, ALPHA, *[-60_000] * SAMPLES)
    assert read(clocks) == (0, 60_000)


async def test_a_proposal_that_came_late_accuses_nobody() -> None:
    clocks = PeerClocks()
    hear(clocks, ALPHA, -90_000, -90_000, 0)
    assert read(clocks) == (0, 0)


async def test_a_block_that_its_parent_pushed_into_the_future_accuses_nobody() -> None:
    clocks = PeerClocks()
    hear(clocks, ALPHA, 4_000, 4_000, 0)
    assert read(clocks) == (0, 0)


async def test_fewer_than_half_of_the_others_cannot_accuse() -> None:
    clocks = PeerClocks()
    hear(clocks, ALPHA, *[-60_000] * SAMPLES)
    hear(clocks, BETA, *[0] * SAMPLES)
    assert read(clocks) == (0, 0)
    hear(clocks, GAMMA, *[-50_000] * SAMPLES)
    assert read(clocks) == (0, 50_000)


async def test_a_clock_that_is_set_shows_at_once() -> None:
    clocks = PeerClocks()
    hear(clocks, ALPHA, *[0] * SAMPLES)
    set_ahead = clocks.read(Millis(NOW_MS + 7_000))
    assert round(set_ahead.ahead_ms, -2) == 7_000


async def test_who_proposes_no_more_is_forgotten(autojump_clock: trio.testing.MockClock) -> None:
    clocks = PeerClocks()
    hear(clocks, ALPHA, *[-60_000] * SAMPLES)
    await trio.sleep(FORGOTTEN_AFTER_S + 1)
    assert clocks.read(NOW_MS).member_count == 0
