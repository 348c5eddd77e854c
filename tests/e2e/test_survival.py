"""A node of seven is killed in each phase in turn; the rounds go on, and restarted it catches up."""

from pathlib import Path

import pytest
import trio

from node.json_values import get_int, get_list, get_object
from node.testnet import NodeProcess, open_testnet
from protocol.units import Height
from tests.e2e.networks import (
    POLL_S,
    find_descendants,
    found_network,
    read_roots,
    read_rounds,
    wait_gone,
    wait_phase,
    wait_rounds,
)

PHASES = ("DRAW", "TRAIN", "SEAL", "REVEAL")


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_killed_in_each_phase_in_turn_it_catches_up_and_the_ledgers_are_equal(tmp_path: Path) -> None:
    specs = await found_network(tmp_path, count=7)
    async with open_testnet(specs) as testnet:
        witness = testnet.nodes[0]
        testnet.start_all()
        for node in testnet.nodes:
            await node.wait_ready()
        await wait_rounds(witness, 1)

        for victim, phase in zip(testnet.nodes[1:], PHASES, strict=False):
            await wait_phase(victim, phase)
            processes = find_descendants(victim.pid or 0)
            await victim.kill()
            await wait_gone(processes)
            settled = get_int((await witness.ask("status"))["rounds_settled"])
            await wait_rounds(witness, settled + 2)
            victim.start()
            await victim.wait_ready()
            await wait_rounds(victim, settled + 2)

        await testnet.stop_all()
        assert [node.exit_code for node in testnet.nodes] == [0] * 7

    ledgers = [read_roots(spec.home) for spec in specs]
    shared_height = min(len(roots) for roots in ledgers)
    assert shared_height > 40
    for height in map(Height, range(1, shared_height + 1)):
        assert len({roots[height] for roots in ledgers}) == 1, f"height {height}"


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_started_after_the_third_round_it_syncs_and_takes_part(tmp_path: Path) -> None:
    specs = await found_network(tmp_path, count=4)
    async with open_testnet(specs) as testnet:
        *early, late = testnet.nodes
        for node in early:
            node.start()
        await early[0].wait_ready()
        await wait_rounds(early[0], 3, timeout_s=120.0)
        late.start()
        await late.wait_ready()
        await wait_rounds(late, 3)

        member = str((await late.ask("status"))["member"])
        await _wait_part_taken(early[0], member)


async def _wait_part_taken(node: NodeProcess, member: str) -> None:
    """Return once a member has voted or trained in a round that settled."""
    with trio.fail_after(60.0):
        while True:
            for record in await read_rounds(node, 4):
                voters = {str(get_object(ballot)["voter"]) for ballot in get_list(record["ballots"])}
                trainers = {str(get_object(update)["member"]) for update in get_list(record["updates"])}
                if member in voters | trainers:
                    return
            await trio.sleep(POLL_S)
