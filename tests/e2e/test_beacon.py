"""The beacon of a real network, checked by drand's own verifier, and shown and exported by the commands (B1)."""

import json
from pathlib import Path

import drand_verify
import pytest

from node.json_values import JsonObject, get_list, get_object, get_text
from node.testnet import NodeProcess, open_testnet
from tests.e2e.networks import found_network, read_rounds, run_command, run_json, wait_rounds


async def _wait_threshold_rounds(node: NodeProcess, count: int) -> list[JsonObject]:
    """Return the rounds once so many of them were drawn from the threshold beacon."""
    while True:
        records = await read_rounds(node)
        drawn = [record for record in records if record["beacon"] is not None]
        if len(drawn) >= count:
            return drawn
        await wait_rounds(node, len(records) + 1)


def _verify(beacon: JsonObject, public_key: str) -> str:
    """Return the randomness that drand's verifier finds; it raises for what it refuses."""
    signature = get_text(beacon["signature"])
    return str(drand_verify.verify_bls_unchained_g1_rfc9380(beacon["round"], signature, public_key))


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_drands_verifier_accepts_what_a_live_network_exports(tmp_path: Path) -> None:
    specs = await found_network(tmp_path / "homes", count=4, settings=("epoch_blocks=8",))
    async with open_testnet(specs) as testnet:
        testnet.start_all()
        for node in testnet.nodes:
            await node.wait_ready()
        first = testnet.nodes[0]
        drawn = await _wait_threshold_rounds(first, 3)
        exported = tmp_path / "beacon.json"
        finished = await run_command("beacon", "export", "--home", str(first.home), "-o", str(exported))
        assert (finished.returncode, finished.stderr) == (0, "")
        shown = await run_json("beacon", "show", str(drawn[0]["round"]), "--home", str(first.home))
        unknown = await run_command("beacon", "show", "999999", "--home", str(first.home))

    document = json.loads(exported.read_text())
    assert document["scheme"] == "bls-unchained-g1-rfc9380"
    verified: dict[object, str] = {}
    for epoch in map(get_object, get_list(document["epochs"])):
        public_key = get_text(epoch["public_key"])
        for beacon in map(get_object, get_list(epoch["beacons"])):
            if beacon["degraded"]:
                continue
            verified[beacon["round"]] = _verify(beacon, public_key)
            assert verified[beacon["round"]] == beacon["randomness"]
            altered = {**beacon, "round": int(str(beacon["round"])) + 1}
            with pytest.raises(ValueError, match=r"(?i)verification failed|invalid"):
                _verify(altered, public_key)
    assert {record["round"]: record["beacon_output"] for record in drawn}.items() <= verified.items()
    assert _verify(shown, get_text(shown["public_key"])) == drawn[0]["beacon_output"]
    assert unknown.returncode != 0
    assert "round 999999 is not drawn on this ledger" in unknown.stderr
