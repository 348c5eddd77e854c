"""Members come and go while the network runs: one that founded nothing joins, a founder leaves (L9)."""

import json
from pathlib import Path

import pytest
import trio

from node.control import call
from node.founding import install_genesis
from node.json_values import get_int, get_list, get_object, get_text
from node.testnet import NodeProcess, NodeSpec, find_free_ports, open_testnet
from protocol.units import Height
from tests.e2e.networks import (
    POLL_S,
    found_network,
    read_roots,
    read_rounds,
    run_command,
    run_json,
    wait_rounds,
    wait_status,
)

EPOCHS = ("epoch_blocks=10", "evidence_window_epochs=1")
TOKENS = 1_000_000


async def make_newcomer(directory: Path) -> tuple[NodeProcess, Path]:
    """Make the home of somebody who founded nothing, as its operator would, and its card."""
    home, card = directory / "epsilon", directory / "epsilon.card"
    (port,) = find_free_ports(1)
    made = await run_command("init", "--home", str(home), "--name", "epsilon", "--listen", f"/ip4/127.0.0.1/tcp/{port}")
    assert made.returncode == 0, made.stderr
    card.write_text((await run_command("card", "show", "--home", str(home))).stdout)
    install_genesis(directory / "genesis", home)
    return NodeProcess(NodeSpec(name="epsilon", home=home)), card


async def wait_drawn(node: NodeProcess, member: str) -> None:
    """Return once a member has been drawn in a round that settled."""
    with trio.fail_after(60.0):
        while True:
            for record in await read_rounds(node):
                if member in (*get_list(record["proposers"]), *get_list(record["voters"])):
                    return
            await trio.sleep(POLL_S)


async def wait_peers(node: NodeProcess, names: set[str]) -> None:
    """Return once a node knows exactly these members besides itself."""
    with trio.fail_after(60.0):
        while True:
            peers = get_list(await call(node.home, {"command": "peers"}))
            if {get_text(get_object(peer)["name"]) for peer in peers} == names:
                return
            await trio.sleep(POLL_S)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_newcomer_joins_and_takes_part_and_a_founder_leaves_and_is_cut_off(tmp_path: Path) -> None:
    specs = await found_network(tmp_path, count=4, settings=EPOCHS)
    async with open_testnet(specs) as testnet:
        alpha, beta, gamma, delta = testnet.nodes
        testnet.start_all()
        for node in testnet.nodes:
            await node.wait_ready()
        newcomer, card = await make_newcomer(tmp_path)
        testnet.nodes = (*testnet.nodes, newcomer)
        newcomer.start()
        await newcomer.wait_ready()
        waiting = await newcomer.ask("status")
        assert (waiting["is_member"], waiting["name"], waiting["height"]) == (False, "epsilon", 0)
        assert "standing\twaits to be admitted" in (await run_command("status", "--home", str(newcomer.home))).stdout
        refused = await run_command("bond", "1", "--home", str(newcomer.home))
        assert (refused.returncode, refused.stderr.count("\n")) == (64, 1)
        assert "epsilon is no member as far as this node's ledger goes" in refused.stderr
        assert (await newcomer.ask("status"))["name"] == "epsilon"

        await wait_rounds(alpha, 1)
        joined = await run_json("join", str(card), "--bond", "64", "--home", str(alpha.home))
        assert (joined["is_executed"], joined["bond"]) == (True, 64 * TOKENS)
        member = get_text(joined["member"])
        approved = await run_command("approve", "epsilon", "--bond", "64", "--home", str(beta.home))
        assert (approved.returncode, approved.stderr.splitlines()[0]) == (
            0,
            f"approving of epsilon, member {member}, with a bond of 64 tokens",
        )
        await run_json("approve", member[:10], "--home", str(gamma.home))
        await wait_status(newcomer, lambda status: status["is_voting"] is True, what="a vote of the newcomer")
        await wait_drawn(alpha, member)
        assert (await run_json("newcomers", "--home", str(alpha.home)))["newcomers"] == []

        unconfirmed = await run_command("leave", "--home", str(delta.home))
        assert (unconfirmed.returncode, "confirm it with --yes" in unconfirmed.stderr) == (64, True)
        left = await run_json("leave", "--yes", "--home", str(delta.home))
        released = get_int(get_object(left["departure"])["released_at_height"])
        for node in (alpha, beta, gamma, newcomer):
            await wait_peers(node, {"alpha", "beta", "gamma", "epsilon"} - {node.name})
            assert get_int((await node.ask("status"))["height"]) >= released
        await wait_status(delta, lambda status: status["members_connected"] == 0, what="the end of the leaver's links")

        await testnet.stop_all()
        assert [node.exit_code for node in testnet.nodes] == [0] * 5

    *ledgers, leavers = [read_roots(node.home) for node in (alpha, beta, gamma, newcomer, delta)]
    shared_height = min(len(roots) for roots in ledgers)
    assert shared_height >= released
    for height in map(Height, range(1, shared_height + 1)):
        assert len({roots[height] for roots in ledgers}) == 1, f"height {height}"
    assert all(ledgers[0][height] == root for height, root in leavers.items() if height <= shared_height)
    shown = await run_command("ledger", "show", "--limit", "1000", "--json", "--home", str(newcomer.home))
    leaders = {block["leader_name"] for block in json.loads(shown.stdout)}
    assert leaders <= {"alpha", "beta", "gamma", "delta", "epsilon"}
    export = tmp_path / "all.ledger"
    assert (await run_command("ledger", "export", "-o", str(export), "--home", str(newcomer.home))).returncode == 0
    audit = await run_json("verify", str(export))
    assert get_int(audit["height"]) >= released
    assert audit["ok"] is True
