"""Whole nodes in virtual time: they agree, go on without one of them, and take it back in."""

from dataclasses import replace
from pathlib import Path

import trio
from trio.testing import MockClock

from protocol.parameters import Parameters
from protocol.units import Millis, Round
from tests.sim.whole_node import WholeNetwork, WholeNode, open_whole_network, read_roots, read_rounds

PARAMETERS = Parameters(
    rounds_max=Round(0),
    proposer_count=1,
    train_deadline_ms=Millis(3_000),
    seal_deadline_ms=Millis(3_000),
    reveal_deadline_ms=Millis(2_000),
    timeout_view_ms=Millis(500),
    timeout_view_max_ms=Millis(4_000),
)


def expect_one_ledger(network: WholeNetwork, *, height_min: int) -> None:
    """Check that the disks agree on every height that they share."""
    ledgers = [read_roots(node) for node in network.nodes]
    shared = min(map(len, ledgers))
    assert shared >= height_min
    assert all(ledger[:shared] == ledgers[0][:shared] for ledger in ledgers)


def get_state_model(node: WholeNode) -> bytes:
    assert node.engine is not None
    return node.engine.state.model_digest


async def test_they_train_and_agree_round_by_round(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_whole_network(tmp_path, count=4, parameters=PARAMETERS) as network:
        network.start(*network.nodes)
        await network.wait_rounds(4, *network.nodes)
        expect_one_ledger(network, height_min=12)
        first = network.nodes[0]
        assert first.engine is not None
        assert len(first.engine.state.accepted_models) >= 4


async def test_the_job_ends_with_equal_ledgers_and_silence(tmp_path: Path, autojump_clock: MockClock) -> None:
    parameters = replace(PARAMETERS, rounds_max=Round(2))
    async with open_whole_network(tmp_path, count=4, parameters=parameters) as network:
        network.start(*network.nodes)
        await network.wait_rounds(2, *network.nodes)
        await trio.sleep(60.0)
        heights = {node.height for node in network.nodes}
        assert len(heights) == 1
        writes = [node.disk.writes_count for node in network.nodes]
        await trio.sleep(600.0)
        assert [node.disk.writes_count for node in network.nodes] == writes


async def test_a_node_that_loses_power_again_and_again_catches_up(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_whole_network(tmp_path, count=4, parameters=PARAMETERS) as network:
        *steady, shaky = network.nodes
        network.start(*network.nodes)
        for cycle in range(3):
            await network.wait_rounds(2 * cycle + 1, *network.nodes)
            await trio.sleep(0.37 * (cycle + 1))
            shaky.stop()
            await network.wait_rounds(2 * cycle + 2, *steady)
            network.start(shaky)
        await network.wait_rounds(8, *network.nodes)
        expect_one_ledger(network, height_min=20)


async def test_a_node_that_starts_late_with_nothing_fetches_blocks_and_model(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_whole_network(tmp_path, count=4, parameters=PARAMETERS) as network:
        *early, late = network.nodes
        network.start(*early)
        await network.wait_rounds(3, *early)
        network.start(late, has_model=False)
        await network.wait_rounds(6, *network.nodes)
        assert get_state_model(late) in {get_state_model(node) for node in early}
        expect_one_ledger(network, height_min=15)


async def test_a_node_that_was_cut_off_comes_back(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_whole_network(tmp_path, count=4, parameters=PARAMETERS) as network:
        *others, lonely = network.nodes
        network.start(*network.nodes)
        await network.wait_rounds(1, *network.nodes)
        network.cut(lonely)
        await network.wait_rounds(3, *others)
        assert lonely.rounds_settled < 3
        network.cut(lonely, is_cut=False)
        await network.wait_rounds(5, *network.nodes)
        expect_one_ledger(network, height_min=15)


async def test_without_a_quorum_nothing_moves_and_with_it_everything_does(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_whole_network(tmp_path, count=4, parameters=PARAMETERS) as network:
        one, two, *rest = network.nodes
        network.start(one, two)
        await trio.sleep(120.0)
        assert {one.height, two.height} == {0}
        network.start(*rest)
        await network.wait_rounds(2, *network.nodes)


async def test_a_member_whose_training_fails_is_silent_and_the_others_go_on(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_whole_network(tmp_path, count=4, parameters=PARAMETERS) as network:
        broken = network.nodes[2]
        broken.learner.failure = "NaN in the update"
        network.start(*network.nodes)
        await network.wait_rounds(6, *network.nodes)
        # A round without an update takes two blocks, and chance may draw the broken member every time.
        expect_one_ledger(network, height_min=11)
        member = broken.keys.member
        drawn = [record for record in read_rounds(broken) if member in record.proposers]
        while not drawn:
            await network.wait_rounds(broken.rounds_settled + 1, *network.nodes)
            drawn = [record for record in read_rounds(broken) if member in record.proposers]
        assert all(member in record.silent for record in drawn)
