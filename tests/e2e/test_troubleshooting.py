"""docs/guides/troubleshooting.md is true: each of its rows is produced here, and what is said is what the page says."""

import json
import shutil
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import trio

from node.clock import OsEntropy, WallClock
from node.founding import Foundation, build_parameters, create_genesis
from node.home import HomeLock, HomePaths, init_home, load_home
from node.json_values import JsonObject, get_list, get_object
from node.store.database import SCHEMA_VERSION
from node.store.sqlite import SqliteStore
from node.testnet import NodeProcess, NodeSpec, find_free_ports, open_testnet
from protocol.genesis import TaskSpec
from protocol.parameters import Preset
from tests.e2e.guide_rows import is_said, load_rows
from tests.e2e.networks import SHORT_DEADLINES, copy_homes, found_network, run_command
from tests.e2e.rigs import CLOCK, FULL_DISK, NO_PRIVILEGES, make_rig

ENDS, ALERTS, DOCTOR = "A daemon that ends", "Alerts", "What the doctor says of a network"
LOST_TASK = "from node.tasks.digits import DigitsTask\n\n\nclass LostTask(DigitsTask): ...\n"

Environment = Mapping[str, str]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def get_port(home: Path) -> int:
    return int(load_home(home, environment={}).config.listen[0].rsplit("/", 1)[1])


def misspell_key(home: Path) -> Environment:
    edit(home / "config.toml", "worker_threads =", "worker_thread =")
    return {}


def give_bad_value(home: Path) -> Environment:
    edit(home / "config.toml", "worker_threads = 1", "worker_threads = 0")
    return {}


def lose_key(home: Path) -> Environment:
    (home / "keys/node.key").unlink()
    return {}


def forget_passphrase(home: Path) -> Environment:
    config = load_home(home, environment={}).config
    shutil.rmtree(home)
    init_home(home, config, entropy=OsEntropy(), passphrase="right")
    return {"PNYX_PASSPHRASE": "wrong"}


def run_once(home: Path) -> None:
    """Leave the database of a daemon that ran and was stopped."""
    opened = load_home(home, environment={})
    paths, genesis = opened.paths, opened.load_genesis()
    SqliteStore(
        paths.ledger,
        genesis=genesis,
        member=opened.keys.signing.member,
        marker=paths.vote_log_marker,
        entropy=OsEntropy(),
    ).close()


def change_network(home: Path) -> Environment:
    run_once(home)
    trio.run(found_again, home)
    return {}


async def found_again(home: Path, task: str = "digits", search_paths: tuple[Path, ...] = ()) -> None:
    """Give a home of the pair the genesis document of another network with the same members."""
    cards = [load_home(home.parent / name, environment={}).make_card() for name in ("alpha", "beta")]
    foundation = Foundation(
        name="another",
        task=TaskSpec(name=task, params=()),
        parameters=build_parameters(preset=Preset.NEUTRAL, member_count=2, choices={}, settings=SHORT_DEADLINES),
        search_paths=search_paths,
    )
    for name in ("genesis.json", "genesis.model"):
        (home / name).unlink()
    await create_genesis(cards, foundation, directory=home, entropy=OsEntropy(), clock=WallClock())


def set_version(home: Path, version: int) -> Environment:
    run_once(home)
    with closing(sqlite3.connect(home / "ledger.db")) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    return {}


def damage_ledger(home: Path) -> Environment:
    run_once(home)
    content = (home / "ledger.db").read_bytes()
    (home / "ledger.db").write_bytes(content[:5_000])
    return {}


def fill_disk(home: Path) -> Environment:
    return make_rig(home.parent / "rig", FULL_DISK)


def forbid_writing(home: Path) -> Environment:
    (home / "node.log").touch()
    home.chmod(0o555)
    return make_rig(home.parent / "rig", NO_PRIVILEGES)


ENDINGS: dict[str, Callable[[Path], Environment]] = {
    "unknown setting": misspell_key,
    "bad value": give_bad_value,
    "missing key": lose_key,
    "wrong passphrase": forget_passphrase,
    "wrong genesis document": change_network,
    "older database": lambda home: set_version(home, SCHEMA_VERSION - 1),
    "newer database": lambda home: set_version(home, SCHEMA_VERSION + 1),
    "damaged database": damage_ledger,
    "full disk": fill_disk,
    "home that cannot be written": forbid_writing,
    "home in use": lambda home: {},
    "port in use": lambda home: {},
}

CLOCK_ROWS = {(ALERTS, "clock_ahead"), (ALERTS, "clock_behind"), (DOCTOR, "clock")}
AWAY_ROWS = {
    (ALERTS, "members_offline"),
    (ALERTS, "no_quorum"),
    (DOCTOR, "peer, away"),
    (DOCTOR, "peer, somebody else"),
    (DOCTOR, "quorum"),
    (DOCTOR, "ports"),
}
STRAY_ROWS = {
    (ALERTS, "other_network"),
    (ALERTS, "no_worker"),
    (DOCTOR, "peer, another network"),
    (DOCTOR, "worker, task"),
    (DOCTOR, "worker, device"),
}


def test_the_page_has_a_row_for_everything_produced_here_and_no_other() -> None:
    written = {(section, row) for section in (ENDS, ALERTS, DOCTOR) for row in load_rows(section)}
    assert written == {(ENDS, row) for row in ENDINGS} | CLOCK_ROWS | AWAY_ROWS | STRAY_ROWS


def test_a_row_is_compared_word_for_word(tmp_path: Path) -> None:
    row = "N of N others not connected: NAME"
    assert is_said(row, "1 of 3 others not connected: beta", home=tmp_path)
    for other in ("1 of 3 others not connected: beta!", "one of 3 others not connected: beta", row):
        assert not is_said(row, other, home=tmp_path)
    assert is_said("`HOME/x` at ADDRESS, …", f"`{tmp_path}/x` at /ip4/127.0.0.1/tcp/1, what ever", home=tmp_path)


@pytest.fixture
def home(pair: tuple[NodeSpec, ...], tmp_path: Path) -> Path:
    return copy_homes(pair, tmp_path)[0].home


@pytest.mark.slow
@pytest.mark.parametrize("row", ENDINGS)
def test_a_daemon_that_ends_says_why(row: str, home: Path) -> None:
    said, exit_code, *_ = load_rows(ENDS)[row]
    node = NodeProcess(NodeSpec(name=home.name, home=home), environment=ENDINGS[row](home))

    async def run_to_end() -> int:
        node.start()
        with trio.fail_after(60.0):
            return await node.wait_ended()

    try:
        with socket.create_server(("127.0.0.1", get_port(home) if row == "port in use" else 0)):
            if row == "home in use":
                with HomeLock(HomePaths(root=home)):
                    ended = trio.run(run_to_end)
            else:
                ended = trio.run(run_to_end)
    finally:
        home.chmod(0o755)
    lines = node.read_log_tail().splitlines()
    assert ended == int(exit_code), lines
    assert is_said(said, lines[-1].removeprefix("pnyx: "), home=home), lines[-1]


@dataclass(slots=True)
class Page:
    """The page's rows, and which of them were met."""

    met: set[tuple[str, str]] = field(default_factory=set)

    async def wait_alert(self, node: NodeProcess, port: int, code: str) -> None:
        """Return once a node has an alert, which must be what the page says."""
        said, *_ = load_rows(ALERTS)[code]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            with trio.fail_after(120.0):
                while True:
                    alerts = [get_object(alert) for alert in get_list((await client.get("/api/v1/alerts")).json())]
                    texts = [str(alert["text"]) for alert in alerts if alert["code"] == code]
                    if texts:
                        break
                    await trio.sleep(0.1)
        assert is_said(said, texts[0], home=node.home), texts[0]
        self.met.add((ALERTS, code))

    async def ask_doctor(self, node: NodeProcess, *rows: str) -> None:
        """Have a node looked at; what is found must be what the page says in these rows."""
        ended = await run_command("doctor", "--home", str(node.home), "--json")
        report: JsonObject = json.loads(ended.stdout)
        texts = [
            str(finding["text"])
            for finding in map(get_object, get_list(report["findings"]))
            if finding["level"] != "ok"
        ]
        assert (ended.returncode, report["ok"]) == (1, False), texts
        for row in rows:
            said, *_ = load_rows(DOCTOR)[row]
            assert any(is_said(said, text, home=node.home) for text in texts), (row, texts)
            self.met.add((DOCTOR, row))


@asynccontextmanager
async def open_node(spec: NodeSpec, port: int, environment: Environment) -> AsyncIterator[NodeProcess]:
    """Run a daemon with the pages at a port until the block is left."""
    node = NodeProcess(spec, environment={"PNYX_HTTP_PORT": str(port), **environment})
    node.start()
    try:
        await node.wait_ready()
        yield node
    finally:
        with trio.CancelScope(shield=True):
            await node.stop()


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_wrong_clocks_and_absent_members_are_told_as_the_page_says(tmp_path: Path) -> None:
    """C8: a clock that is ahead costs its node's blocks, one that is behind its votes."""
    *rest, wrong = await found_network(tmp_path / "homes", count=4)
    port = find_free_ports(8)[-1]
    clocks, away = Page(), Page()
    async with open_testnet(rest) as testnet:
        testnet.start_all()
        rig = make_rig(tmp_path / "ahead", CLOCK, shift_ms=120_000)
        async with open_node(wrong, port, rig) as node:
            await clocks.wait_alert(node, port, "clock_ahead")
            await clocks.ask_doctor(node, "clock")
            assert "clock_differs" in node.log_path.read_text()
        rig = make_rig(tmp_path / "behind", CLOCK, shift_ms=-120_000)
        async with open_node(wrong, port, rig) as node:
            await clocks.wait_alert(node, port, "clock_behind")
        assert clocks.met == CLOCK_ROWS

        alpha, beta, gamma = testnet.nodes
        await alpha.stop()
        async with open_node(rest[0], port, {}) as node:
            await away.wait_alert(node, port, "members_offline")
            await gamma.stop()
            await away.wait_alert(node, port, "no_quorum")
            await away.ask_doctor(node, "peer, away", "quorum")
        gamma_member = load_home(gamma.home, environment={}).keys.signing.member
        (address,) = load_home(beta.home, environment={}).config.listen
        with (alpha.home / "config.toml").open("a", encoding="utf-8") as config:
            config.write(f'"{gamma_member.hex()}" = ["{address}"]\n')
        with socket.create_server(("127.0.0.1", get_port(alpha.home))):
            await away.ask_doctor(alpha, "peer, somebody else", "ports")
        assert away.met == AWAY_ROWS


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_another_network_and_a_task_that_is_not_there_are_told_as_the_page_says(
    pair: tuple[NodeSpec, ...], tmp_path: Path
) -> None:
    first, second = copy_homes(pair, tmp_path)
    (tmp_path / "task").mkdir()
    (tmp_path / "task/lost_task.py").write_text(LOST_TASK)
    await found_again(second.home, "lost_task:LostTask", (tmp_path / "task",))
    *_, port, other_port = find_free_ports(8)
    page = Page()
    async with open_node(first, port, {}) as alpha, open_node(second, other_port, {}) as beta:
        await page.wait_alert(alpha, port, "other_network")
        await page.ask_doctor(alpha, "peer, another network")
        assert "other_network" in alpha.log_path.read_text()
        await page.wait_alert(beta, other_port, "no_worker")
        await page.ask_doctor(beta, "worker, task")
    edit(first.home / "config.toml", 'device = "cpu"', 'device = "cuda:99"')
    await page.ask_doctor(alpha, "worker, device")
    assert page.met == STRAY_ROWS
