"""The HTTP port of real daemons: off unless asked for, right when it is, and silent about what is secret."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import trio

from node.control import call
from node.home import load_home
from node.http.openapi import ENDPOINTS
from node.json_values import JsonObject, get_int, get_list, get_object
from node.testnet import NodeProcess, NodeSpec, find_free_ports, open_testnet
from tests.e2e.networks import copy_homes, find_descendants, run_command, wait_rounds

HOST = "node.example.org"
HISTORY = "/api/v1/stakes/history"


@asynccontextmanager
async def open_pair(
    pair: Sequence[NodeSpec], directory: Path
) -> AsyncIterator[tuple[NodeProcess, NodeProcess, httpx.AsyncClient]]:
    """Give two daemons, the first of which serves HTTP, and a client of it."""
    # The homes name the first ports that were free when they were made, and nobody listens there yet.
    port = find_free_ports(8)[-1]
    specs = copy_homes(tuple(pair), directory)
    config = specs[0].home / "config.toml"
    text = config.read_text(encoding="utf-8").replace("http_port = 0", f"http_port = {port}")
    config.write_text(text.replace("http_hosts = []", f'http_hosts = ["{HOST}"]'), encoding="utf-8")
    async with open_testnet(specs) as testnet:
        testnet.start_all()
        first, second = testnet.nodes
        for node in testnet.nodes:
            await node.wait_ready()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield first, second, client


async def read(client: httpx.AsyncClient, path: str) -> JsonObject:
    return get_object((await client.get(path)).json())


def find_tcp_ports(node: NodeProcess) -> set[int]:
    assert node.pid is not None
    connections = [entry for process in find_descendants(node.pid) for entry in process.net_connections("tcp")]
    return {entry.laddr.port for entry in connections if entry.status == psutil.CONN_LISTEN}


async def test_the_port_is_off_unless_asked_for_and_what_it_tells_is_the_ledgers(
    pair: tuple[NodeSpec, ...], tmp_path: Path
) -> None:
    async with open_pair(pair, tmp_path) as (first, second, client):
        await wait_rounds(first, 2)
        assert len(find_tcp_ports(second)) == 1
        assert len(find_tcp_ports(first)) == 2
        assert (await client.get("/healthz")).status_code == 200
        for host, status in ((HOST, 200), (f"evil.{HOST}", 421)):
            assert (await client.get("/healthz", headers={"host": host})).status_code == status
        assert (await client.get("/readyz")).json() == {"is_ready": True, "reasons": []}
        rounds = get_list((await client.get("/api/v1/rounds?from_round=1&limit=2")).json())
        assert rounds == await call(second.home, {"command": "rounds", "from_round": 1, "limit": 2})
        history = await read(client, HISTORY)
        stakes = get_object(await call(first.home, {"command": "stakes"}))
        holders = [get_object(account)["member"] for account in get_list(stakes["members"])]
        assert [get_object(entry)["member"] for entry in get_list(history["members"])] == holders
        assert all(len(get_list(get_object(point)["stakes"])) == 2 for point in get_list(history["points"]))
        metrics = (await client.get("/metrics")).text
        assert 'pnyx_verdicts_total{verdict="ACCEPT"}' in metrics


async def test_stake_over_time_survives_a_restart(pair: tuple[NodeSpec, ...], tmp_path: Path) -> None:
    async with open_pair(pair, tmp_path) as (first, _second, client):
        await wait_rounds(first, 3)
        before = {
            get_int(point["round"]): point
            for point in map(get_object, get_list((await read(client, HISTORY))["points"]))
        }
        await first.kill()
        first.start()
        await first.wait_ready()
        points: list[JsonObject] = []
        with trio.fail_after(60.0):
            # The past is read beside everything else.
            while len(points) < len(before):
                points = [get_object(point) for point in get_list((await read(client, HISTORY))["points"])]
                await trio.sleep(0.1)
        assert [point for point in points if point["round"] in before] == list(before.values())
        assert len(before) >= 3


async def test_nothing_on_the_port_tells_a_key_or_a_path(pair: tuple[NodeSpec, ...], tmp_path: Path) -> None:
    async with open_pair(pair, tmp_path) as (first, _second, client):
        await wait_rounds(first, 1)
        told = ""
        for path in (*(endpoint.path for endpoint in ENDPOINTS), "/metrics", "/", "/docs", "/openapi.json", "/nothing"):
            told += (await client.get(path.replace("{round}", "1"))).text
        assert len(told) > 5_000
        keys = load_home(first.home, environment={}).keys
        for secret in (keys.seed, keys.salt_secret):
            assert len(secret) == 32
            assert secret.hex() not in told
        words = {word for path in (first.home / "keys").iterdir() for word in path.read_text().split()}
        assert not {word for word in words if len(word) >= 32 and word in told}
        assert str(first.home) not in told
        assert str(tmp_path) not in told


async def test_a_port_that_is_taken_is_one_line(pair: tuple[NodeSpec, ...], tmp_path: Path) -> None:
    async with open_pair(pair, tmp_path) as (first, second, _client):
        port = max(find_tcp_ports(first) - {int(first_port(first))})
        await second.stop()
        config = second.home / "config.toml"
        config.write_text(config.read_text().replace("http_port = 0", f"http_port = {port}"), encoding="utf-8")
        ended = await run_command("run", "--home", str(second.home))
        assert ended.returncode == 76
        assert f"127.0.0.1 port {port} is in use" in ended.stderr.splitlines()[-1]


def first_port(node: NodeProcess) -> str:
    """Return the port of the other members, as the configuration has it."""
    line = next(line for line in (node.home / "config.toml").read_text().splitlines() if line.startswith("listen"))
    return line.rsplit("/", 1)[1].rstrip('"]')
