"""What the shell relies on in a clock and in a source of randomness, real or simulated."""

import pytest
import trio
from trio.testing import MockClock

from node.clock import OsEntropy, WallClock
from node.ports import Clock, Entropy
from tests.node.fakes import TrioClock
from tests.sim.entropy import SeededEntropy

CLOCKS: dict[str, Clock] = {"wall": WallClock(), "trio": TrioClock()}
YEAR_2020_MS = 1_577_836_800_000


def make_entropy(kind: str) -> Entropy:
    return OsEntropy() if kind == "system" else SeededEntropy(label="contract")


@pytest.mark.parametrize("kind", CLOCKS)
async def test_a_clock_counts_whole_milliseconds_since_1970(kind: str) -> None:
    now_ms = CLOCKS[kind].get_now_ms()
    assert type(now_ms) is int
    assert YEAR_2020_MS < now_ms < 2 * YEAR_2020_MS


@pytest.mark.parametrize("kind", CLOCKS)
async def test_a_clock_goes_on_by_as_much_as_is_waited(kind: str) -> None:
    clock: Clock = CLOCKS[kind]
    before_ms = clock.get_now_ms()
    await trio.sleep(0.05)
    assert 49 <= clock.get_now_ms() - before_ms < 5_000


async def test_the_simulated_clock_follows_virtual_time_and_whoever_sets_it(autojump_clock: MockClock) -> None:
    clock = TrioClock()
    before_ms = clock.get_now_ms()
    await trio.sleep(3_600)
    assert clock.get_now_ms() - before_ms == 3_600_000
    clock.shift_ms = -10_000_000
    assert clock.get_now_ms() < before_ms


@pytest.mark.parametrize("kind", ["system", "seeded"])
def test_randomness_is_as_long_as_asked_for(kind: str) -> None:
    entropy = make_entropy(kind)
    assert [len(entropy.get_bytes(count)) for count in (0, 1, 32, 1_000)] == [0, 1, 32, 1_000]


@pytest.mark.parametrize("kind", ["system", "seeded"])
def test_randomness_never_comes_twice(kind: str) -> None:
    entropy = make_entropy(kind)
    assert len({entropy.get_bytes(16) for _ in range(200)}) == 200


def test_seeded_randomness_is_a_function_of_its_label_and_of_what_was_drawn_before() -> None:
    def draw(label: str) -> list[bytes]:
        entropy = SeededEntropy(label=label)
        return [entropy.get_bytes(16) for _ in range(3)]

    assert draw("one") == draw("one")
    assert not set(draw("one")) & set(draw("other"))
