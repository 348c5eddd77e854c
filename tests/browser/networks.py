"""A real network with a dashboard, run by the commands that an operator has."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from node.json_values import JsonObject, JsonValue, get_object
from node.testnet import find_free_ports

NODES = ("alpha", "beta", "gamma", "delta", "epsilon")
ROUNDS = 30
TREASURY = 320_000_000
WAIT_S = 120.0
POLL_S = 0.2


def run(*arguments: str) -> str:
    """Run a command of pnyx and return what it prints; it must succeed."""
    command = [sys.executable, "-m", "cli", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, f"{arguments}: {ended.stdout}{ended.stderr}"
    return ended.stdout


def wait_until(holds: Callable[[], bool], *, what: str) -> None:
    """Return once something holds."""
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come within {WAIT_S:.0f} s"
        time.sleep(POLL_S)


@dataclass(frozen=True)
class Network:
    """A testnet whose first node serves its pages."""

    directory: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get_home(self, name: str) -> Path:
        return self.directory / name

    def ask(self, path: str) -> JsonObject:
        with urllib.request.urlopen(self.url + path, timeout=10) as response:
            return get_object(json.loads(response.read()))

    def is_up(self) -> bool:
        try:
            self.ask("/healthz")
        except (urllib.error.URLError, OSError):
            return False
        return True

    def read(self, name: str, command: str) -> JsonValue:
        """Return what a node tells its own operator."""
        value: JsonValue = json.loads(run(command, "--home", str(self.get_home(name)), "--json"))
        return value

    def is_done(self) -> bool:
        return self.ask("/api/v1/status")["rounds_settled"] == ROUNDS

    def has_settled(self, name: str) -> bool:
        """Return whether a node that serves no pages has settled the last round."""
        return get_object(self.read(name, "status"))["rounds_settled"] == ROUNDS

    def configure(self, name: str, settings: dict[str, str]) -> None:
        """Change a node's configuration."""
        path = self.get_home(name) / "config.toml"
        lines = path.read_text().splitlines()
        changed = [
            f"{key} = {settings[key]}" if (key := line.partition(" =")[0]) in settings else line for line in lines
        ]
        assert changed != lines
        path.write_text("\n".join(changed) + "\n")


def start_network(directory: Path) -> Network:
    """Make and start a network of five, one of which cheats, that plays some rounds."""
    settings = ("--rounds", str(ROUNDS), "--set", f"treasury_initial={TREASURY}")
    run("testnet", "create", str(directory), "--nodes", str(len(NODES)), *settings)
    network = Network(directory=directory, port=find_free_ports(3 * len(NODES))[-1])
    network.configure("alpha", {"http_port": str(network.port)})
    # One member cheats, so that stake moves and votes are divided.
    network.configure("epsilon", {"attack": '"sign_flip"', "invert_ballots": "true"})
    run("testnet", "up", str(directory))
    wait_until(network.is_up, what="the first answer")
    return network
