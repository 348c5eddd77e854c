"""What operators get wrong: each is answered with one line that says what to do, and loses nothing."""

import shutil
import socket
from pathlib import Path

import pytest
import trio

from node.errors import AddressUnavailable, ConfigError, HomeLocked
from node.home import load_home
from node.json_values import JsonObject, JsonValue, get_list, get_object
from node.testnet import NodeProcess, NodeSpec, open_testnet
from tests.e2e.networks import copy_homes, found_network, read_rounds, wait_rounds

FAULTY_TASK = '''
from node.tasks.digits import DigitsTask


class FaultyDigits(DigitsTask):
    """Raises in training for one member of the network."""

    def train(self, model, *, round, device):
        if self.context.member_index == 0:
            raise RuntimeError("the scanner is broken")
        return super().train(model, round=round, device=device)
'''


async def _run_to_end(node: NodeProcess) -> tuple[int, str]:
    """Start a daemon that must end by itself; return its exit code and what it said."""
    node.start()
    with trio.fail_after(30.0):
        code = await node.wait_ended()
    return code, node.read_log_tail()


@pytest.mark.slow
async def test_a_second_daemon_on_a_home_is_refused_and_names_the_first(
    pair: tuple[NodeSpec, ...], tmp_path: Path
) -> None:
    specs = copy_homes(pair, tmp_path)
    async with open_testnet(specs) as testnet:
        first = testnet.nodes[0]
        first.start()
        await first.wait_ready()
        code, line = await _run_to_end(NodeProcess(specs[0]))
        assert code == HomeLocked.exit_code
        assert f"process {first.pid} already runs on {specs[0].home}" in line
        assert (await first.ask("status"))["name"] == first.name


@pytest.mark.slow
async def test_a_port_in_use_is_named(pair: tuple[NodeSpec, ...], tmp_path: Path) -> None:
    specs = copy_homes(pair, tmp_path)
    port = _read_port(specs[0])
    with socket.create_server(("127.0.0.1", port)):
        code, line = await _run_to_end(NodeProcess(specs[0]))
    assert code == AddressUnavailable.exit_code
    assert str(port) in line


@pytest.mark.slow
async def test_an_unknown_config_key_is_named_with_the_nearest_known_one(
    pair: tuple[NodeSpec, ...], tmp_path: Path
) -> None:
    specs = copy_homes(pair, tmp_path)
    config = specs[0].home / "config.toml"
    config.write_text(config.read_text().replace("worker_threads", "worker_thread"))
    code, line = await _run_to_end(NodeProcess(specs[0]))
    assert code == ConfigError.exit_code
    assert "unknown key 'worker_thread' (did you mean 'worker_threads'?)" in line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("PNYX_DEVICE", "cuda:99", 'device = "cuda:99": torch'),
        ("PNYX_LAUNCHER", "torchrum -n 2", 'launcher = "torchrum -n 2": there is no program torchrum'),
    ],
)
async def test_a_device_or_launcher_that_this_machine_lacks_ends_the_start(
    pair: tuple[NodeSpec, ...], tmp_path: Path, variable: str, text: str, message: str
) -> None:
    specs = copy_homes(pair, tmp_path)
    code, log = await _run_to_end(NodeProcess(specs[0], environment={variable: text}))
    assert code == ConfigError.exit_code
    assert log.splitlines()[-1].startswith(f"pnyx: {message}")


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_task_that_raises_in_training_makes_its_member_silent_and_the_daemon_lives(tmp_path: Path) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "faulty_task.py").write_text(FAULTY_TASK)
    specs = await found_network(tmp_path / "homes", count=3, task="faulty_task:FaultyDigits", search_paths=(folder,))
    for spec in specs:
        shutil.copy(folder / "faulty_task.py", spec.home)
    async with open_testnet(specs) as testnet:
        testnet.start_all()
        for node in testnet.nodes:
            await node.wait_ready()
        faulty = min(testnet.nodes, key=lambda node: str(_read_member(node.home)))
        member = str((await faulty.ask("status"))["member"])
        while "the scanner is broken" not in (faulty.home / "node.log").read_text():
            # A round whose worker was still starting is not the one that shows it.
            await wait_rounds(faulty, len(await read_rounds(faulty)) + 1)
        # Its line comes while the round is still training; the next settlement is that round's or a later one's.
        await wait_rounds(faulty, len(await read_rounds(faulty)) + 1)
        settled = await read_rounds(faulty)

        drawn = [record for record in settled if member in _get_drawn_proposers(record)]
        assert drawn
        assert all(member in get_list(record["silent"]) for record in drawn)
        assert faulty.pid is not None


def _get_drawn_proposers(record: JsonObject) -> list[JsonValue]:
    """Return whom the draw made proposers, also if a standby took their place later (F13)."""
    replacements = map(get_object, get_list(record["replacements"]))
    return [*get_list(record["proposers"]), *[entry["silent"] for entry in replacements if entry["phase"] == "TRAIN"]]


def _read_member(home: Path) -> str:
    return load_home(home, environment={}).keys.signing.member.hex()


def _read_port(spec: NodeSpec) -> int:
    return int(load_home(spec.home, environment={}).config.listen[0].rsplit("/", 1)[1])
