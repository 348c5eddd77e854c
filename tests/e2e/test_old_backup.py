"""A database that was restored from an old backup: its node says so, waits, and nobody is punished (C10, L7)."""

import shutil
from pathlib import Path

import pytest

from node.json_values import get_int, get_list, get_object, get_text
from node.testnet import LOG_NAME, open_testnet
from protocol.units import Height
from tests.e2e.networks import found_network, read_roots, run_command, wait_rounds, wait_status

BLOCKS_SINCE_BACKUP = 25


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_node_on_an_old_backup_tells_why_it_is_silent_and_votes_again_unpunished(tmp_path: Path) -> None:
    specs = await found_network(tmp_path, count=4, settings=("clock_drift_max_ms=3000",))
    async with open_testnet(specs) as testnet:
        *others, restored = testnet.nodes
        testnet.start_all()
        for node in testnet.nodes:
            await node.wait_ready()
        await wait_rounds(restored, 1)
        await restored.stop()
        backup = tmp_path / "backup"
        backup.mkdir()
        for path in restored.home.glob("ledger.db*"):
            shutil.copy(path, backup)

        height = get_int((await others[0].ask("status"))["height"])
        restored.start()
        await restored.wait_ready()
        await wait_status(
            restored,
            lambda status: status["is_voting"] is True and get_int(status["height"]) > height + BLOCKS_SINCE_BACKUP,
            what="votes after the backup",
        )
        await restored.stop()
        for path in restored.home.glob("ledger.db*"):
            path.unlink()
        for path in backup.iterdir():
            shutil.copy(path, restored.home)
        restored.start()
        await restored.wait_ready()
        status = await wait_status(
            restored,
            lambda status: "restored from an older backup" in str(status["not_voting_reason"]),
            what="the discovery that its votes are missing",
        )
        assert status["is_voting"] is False
        assert "votes in consensus\tNO: " in (await run_command("status", "--home", str(restored.home))).stdout

        status = await wait_status(restored, lambda status: status["is_voting"] is True, what="its next votes")
        settled = get_int(status["rounds_settled"])
        for node in testnet.nodes:
            await wait_rounds(node, settled + 1)
            stakes = get_list((await node.ask("stakes"))["members"])
            jailed = [get_text(get_object(one)["name"]) for one in stakes if get_object(one)["is_jailed"] is True]
            assert jailed == []
        await testnet.stop_all()
        assert [node.exit_code for node in testnet.nodes] == [0] * 4
        log = (restored.home / LOG_NAME).read_text()
        assert 0 < log.find('"voting_suspended"') < log.find('"voting_resumed"')

    ledgers = [read_roots(spec.home) for spec in specs]
    for height in range(1, min(len(roots) for roots in ledgers) + 1):
        assert len({roots[Height(height)] for roots in ledgers}) == 1, f"height {height}"
