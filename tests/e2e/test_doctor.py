"""`pnyx doctor` on real nodes: well, without their peer, and stopped; nothing that it looks at is changed by it."""

import hashlib
import json
from pathlib import Path

import pytest

from node.json_values import JsonObject, get_list, get_object
from node.testnet import NodeProcess, NodeSpec, open_testnet
from tests.e2e.networks import copy_homes, find_descendants, run_command, wait_gone, wait_rounds, wait_status


async def examine(node: NodeProcess) -> tuple[int, dict[str, JsonObject]]:
    """Return how the doctor ended, and its findings by their checks."""
    ended = await run_command("doctor", "--home", str(node.home), "--json")
    assert ended.stderr == ""
    findings = [get_object(finding) for finding in get_list(json.loads(ended.stdout)["findings"])]
    return ended.returncode, {str(finding["check"]): finding for finding in findings}


def read_home(home: Path) -> dict[str, tuple[int, int, str]]:
    """Return of everything in a home its mode, when it was changed, and its content."""
    everything = sorted(path for path in home.rglob("*") if not path.is_socket())
    return {
        str(path): (
            path.stat().st_mode,
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in (home, *everything)
    }


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_pair_is_well_until_one_of_them_is_gone(pair: tuple[NodeSpec, ...], tmp_path: Path) -> None:
    async with open_testnet(copy_homes(pair, tmp_path)) as testnet:
        testnet.start_all()
        first, second = testnet.nodes
        for node in testnet.nodes:
            await node.wait_ready()
        await wait_rounds(first, 1)

        code, findings = await examine(first)
        assert code == 0, findings
        for check in ("home", "daemon", "config", "keys", "genesis", "member", "ports", "address", "peer", "quorum"):
            assert findings[check]["level"] == "ok", findings[check]
        assert str(findings["peer"]["text"]).endswith("and has proved who it is")
        assert str(findings["worker"]["text"]).startswith("the daemon's worker runs as process ")
        # Its own connection is not taken for an old one by the peer, and not replaced.
        assert "replaced by a newer connection" not in (second.home / "node.log").read_text()
        assert (await second.ask("status"))["members_connected"] == 1

        await second.stop()
        await wait_status(first, lambda status: status["members_connected"] == 0, what="the loss of the peer")
        code, findings = await examine(first)
        assert code == 1
        assert [findings[check]["level"] for check in ("peer", "quorum", "ports")] == ["warning", "failure", "ok"]
        assert "Connection refused" in str(findings["peer"]["text"])

        processes = find_descendants(first.pid or 0)
        await first.kill()
        # What ends with it may still write to its log.
        await wait_gone(processes)
        before = read_home(first.home)
        code, findings = await examine(first)
        assert code == 1
        assert read_home(first.home) == before
        assert str(findings["ledger"]["text"]).startswith("ledger.db is intact at height ")
        assert str(findings["worker"]["text"]) == "the task digits can be loaded on device cpu"
        lines = (await run_command("doctor", "--home", str(first.home))).stdout.splitlines()
        assert lines[1] == "ok       daemon    no daemon runs on this home: what follows is what a start would find"
        assert lines[-1].startswith("not good: 1 failed, ")


async def test_where_there_is_no_home_nothing_else_is_looked_at(tmp_path: Path) -> None:
    ended = await run_command("doctor", "--home", str(tmp_path / "nowhere"))
    assert ended.returncode == 1
    assert ended.stdout.splitlines() == [
        f"failure  home      there is no {tmp_path}/nowhere: make a home with `pnyx init`, or name another one with"
        " --home",
        "not good: 1 failed, 0 worth a look",
    ]
