"""The compose project as a test handles it: containers, their health, and what their nodes say."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from node.json_values import JsonObject, JsonValue, get_list, get_object

ROOT = Path(__file__).resolve().parent.parent.parent
NODES = ("alpha", "beta", "gamma", "delta", "epsilon")
NAME = "pnyx-e2e"
PORT = 18_780
POLL_S = 1.0


def run(command: Sequence[str], *, environment: Mapping[str, str], timeout_s: float = 300.0) -> str:
    """Run a command and return what it prints; errors and progress go where ours go."""
    ended = subprocess.run(
        command, env=dict(environment), cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=timeout_s, check=False
    )
    assert ended.returncode == 0, f"{' '.join(command)} ended with {ended.returncode}"
    return ended.stdout


def wait_until(holds: Callable[[], bool], *, what: str, timeout_s: float = 300.0) -> None:
    """Return once something holds."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come within {timeout_s:.0f} s"
        time.sleep(POLL_S)


@dataclass
class Project:
    """The five services and the engine that they run in."""

    compose: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    extra: dict[str, str] = field(default_factory=lambda: {"ROUNDS": "1000000", "DASHBOARD_PORT": str(PORT)})
    measured: list[str] = field(default_factory=list)

    def run_compose(self, *arguments: str, timeout_s: float = 300.0) -> str:
        command = [*self.compose, "-p", NAME, *arguments]
        return run(command, environment={**self.environment, **self.extra}, timeout_s=timeout_s)

    def run_docker(self, *arguments: str) -> str:
        return run(["docker", *arguments], environment=self.environment)

    def compose_down(self, *, with_volumes: bool) -> None:
        self.run_compose("down", "--remove-orphans", *(["--volumes"] if with_volumes else []))

    def get_container(self, node: str) -> str:
        """Return the id of a node's container; of one that is stopped as well."""
        found = self.run_docker(
            "ps", "-aq", "--filter", f"label=com.docker.compose.project={NAME}",
            "--filter", f"label=com.docker.compose.service={node}",
        ).split()  # fmt: skip
        assert len(found) == 1, f"{len(found)} containers of {node}"
        return found[0]

    def get_network(self, name: str) -> str:
        return f"{NAME}_{name}"

    def inspect(self, thing: str) -> JsonObject:
        return get_object(get_list(json.loads(self.run_docker("inspect", thing)))[0])

    def get_health(self, node: str) -> str:
        state = get_object(self.inspect(self.get_container(node))["State"])
        return str(get_object(state["Health"])["Status"]) if state.get("Health") else str(state["Status"])

    def are_healthy(self, nodes: Sequence[str] = NODES) -> bool:
        return all(self.get_health(node) == "healthy" for node in nodes)

    def execute(self, node: str, *command: str) -> str:
        return self.run_docker("exec", self.get_container(node), *command)

    def call(self, *arguments: str) -> str:
        """Run a command in a service's container as an operator does, options first."""
        return self.run_compose("exec", "-T", *arguments)

    def ask(self, path: str) -> JsonValue:
        """Return what the dashboard's port on this machine says."""
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=10) as response:
            value: JsonValue = json.loads(response.read())
            return value

    def ask_status(self) -> JsonObject:
        return get_object(self.ask("/api/v1/status"))

    def count_rounds(self) -> int:
        """Return how many rounds have settled; -1 while nobody answers."""
        try:
            settled = self.ask_status()["rounds_settled"]
        except (urllib.error.URLError, OSError):
            return -1
        assert isinstance(settled, int)
        return settled

    def has_verdict(self) -> bool:
        """Return whether voters have accepted or rejected a model; a void round is no verdict."""
        try:
            rounds = get_list(self.ask("/api/v1/rounds"))
        except (urllib.error.URLError, OSError):
            return False
        return any(get_object(settled)["verdict"] != "VOID" for settled in rounds)

    def wait_rounds(self, more: int, *, what: str) -> None:
        goal = self.count_rounds() + more
        wait_until(lambda: self.count_rounds() >= goal, what=f"{more} more rounds {what}")

    def read_roots(self, node: str) -> dict[int, str]:
        """Return the state root after each block of a node's ledger."""
        told = self.execute(node, "pnyx", "ledger", "show", "--limit", "10000", "--json")
        blocks = [get_object(block) for block in get_list(json.loads(told))]
        return {int(str(block["height"])): str(block["state_root"]) for block in blocks}

    def read_logs(self) -> str:
        return self.run_compose("logs", "--tail", "30")
