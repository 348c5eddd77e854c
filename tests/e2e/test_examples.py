"""The examples' READMEs are run as they stand: data, packages, a network of processes, the comparison at the end."""

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from node.control import call
from node.errors import DaemonUnreachable
from node.json_values import get_int, get_object
from node.testnet import find_free_ports
from tests.e2e.networks import POLL_S, read_roots
from tests.tidiness import ROOT, iterate_modules

EXAMPLES = ROOT / "examples"
ROUNDS = 6
PATIENCE_S = 150.0


class Reader:
    """Somebody who types a README's commands into a shell, in an environment of their own."""

    def __init__(self, folder: Path) -> None:
        programs, packages = folder / "programs", folder / "packages"
        self.folder = folder / "project"
        programs.mkdir()
        made = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
        shutil.copytree(EXAMPLES, self.folder / "examples", ignore=made)
        for name, command in (("pnyx", "-m cli"), ("pip", "-m pip"), ("python", "")):
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec {sys.executable} {command} "$@"\n')
            program.chmod(0o755)
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PNYX_")},
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(packages), str(ROOT)]),
            "OMP_NUM_THREADS": "1",
            # What the packages need is here, and is not to be downloaded again.
            "PIP_TARGET": str(packages),
            "PIP_NO_DEPS": "1",
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        self._shells: list[subprocess.Popen[str]] = []

    async def run(self, commands: str) -> str:
        """Return what commands print; each must succeed. What they leave running lives until the reader ends."""
        output = self.folder / "output"
        with output.open("w") as file:
            shell = subprocess.Popen(  # noqa: ASYNC220 - returns at once
                ["bash", "-e", "-u", "-o", "pipefail", "-c", commands],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                text=True,
            )
        self._shells.append(shell)
        with trio.fail_after(PATIENCE_S):
            while shell.poll() is None:
                await trio.sleep(POLL_S)
        assert shell.returncode == 0, f"{commands}\n{output.read_text()}"
        return output.read_text()

    def end(self) -> None:
        """Kill whatever the commands have left running in their shells."""
        for shell in self._shells:
            try:
                os.killpg(shell.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            finally:
                shell.wait()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    yield reader
    reader.end()


def read_blocks(name: str) -> list[str]:
    """Return a README's blocks of commands."""
    page = (EXAMPLES / name / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return [block.replace("--rounds 30", f"--rounds {ROUNDS}") for block in blocks]


async def wait_settled(home: Path) -> None:
    """Wait until all rounds have settled at a node that was just started."""
    settled = 0
    with trio.fail_after(PATIENCE_S):
        while settled < ROUNDS:
            with suppress(DaemonUnreachable):
                settled = get_int(get_object(await call(home, {"command": "status"}))["rounds_settled"])
            await trio.sleep(POLL_S)


def read_table(printed: str) -> dict[str, list[float]]:
    """Return the lines that a comparison prints, by model."""
    lines = printed[printed.index("model\t") :].splitlines()[1:]
    return {name: [float(cell) for cell in cells] for name, *cells in (line.split("\t") for line in lines)}


def check_comparison(printed: str, kind: str, count: int) -> None:
    models = read_table(printed)
    alone = [models[f"{kind}-{number} alone"] for number in range(1, count + 1)]
    together = [cells[-2] for cells in (models["untrained"], models["federated"], models["all data in one place"])]
    assert all(len(cells) == count + 2 for cells in models.values())
    assert 0.4 < together[0] < 0.6 < together[1] < 0.9
    assert max(cells[-2] for cells in alone) < together[2] < 0.9


def check_ledgers(homes: list[Path]) -> None:
    roots = [read_roots(home) for home in homes]
    common = set.intersection(*(set(known) for known in roots))
    assert len(common) > ROUNDS
    assert all(len({known[height] for known in roots}) == 1 for height in common)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_four_banks_found_a_network_by_hand(reader: Reader) -> None:
    install, check, init, genesis, run, look, end = read_blocks("credit_risk")
    ports = find_free_ports(4)
    init = f"ports=(none {' '.join(map(str, ports))})\n" + init.replace("400$n", "${ports[n]}")
    homes = [reader.folder / f"bank-{number}" for number in range(1, 5)]
    await reader.run(install)
    assert (await reader.run(check)).rstrip().endswith("good")
    await reader.run(init)
    made, checked = re.findall(r"^chain +([0-9a-f]{64})$", await reader.run(genesis), re.MULTILINE)
    assert made == checked
    await reader.run(run)
    for home in homes:
        await wait_settled(home)
    assert "ACCEPT" in await reader.run(look)
    ended = await reader.run(end)
    assert "good" in ended
    check_comparison(ended, "bank", 4)
    check_ledgers(homes)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_five_hospitals_train_in_a_testnet(reader: Reader) -> None:
    install, up, look, end = read_blocks("mortality")
    try:
        assert (await reader.run(install)).rstrip().endswith("good")
        await reader.run(up)
        homes = sorted(path.parent for path in (reader.folder / "net").glob("*/config.toml"))
        assert len(homes) == 5
        for home in homes:
            await wait_settled(home)
        assert "ACCEPT" in await reader.run(look)
        ended = await reader.run(end)
    finally:
        # The supervisor of a testnet is in a session of its own, and says nothing if it is down already.
        await reader.run("pnyx testnet down net")
    check_comparison(ended, "hospital", 5)
    check_ledgers(homes)


def test_the_examples_use_the_public_interface_only() -> None:
    imported = set()
    for path in iterate_modules("examples"):
        for found in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(found, ast.ImportFrom) and found.module is not None:
                imported.add(found.module)
            elif isinstance(found, ast.Import):
                imported.update(alias.name for alias in found.names)
    ours = {name for name in imported if name.split(".")[0] in {"node", "protocol", "cli", "tests", "bench"}}
    assert ours == {"node.tasks"}
