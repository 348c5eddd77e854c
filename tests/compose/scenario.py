"""What must hold of the five containers, in the order in which it is tried."""

import subprocess
import sys
import time
import urllib.request

from node.json_values import JsonObject, get_list, get_object
from tests.compose.project import NODES, PORT, Project, run, wait_until

COMPILERS = ("cc", "gcc", "g++", "clang", "make", "ld")
IMAGE = "pnyx:local"


def play(project: Project) -> None:
    """Try everything.

    Raises:
        AssertionError: Something did not hold.
    """
    say("building the image")
    started = time.monotonic()
    # All services have one image, so one of them builds it for all.
    project.run_compose("build", "found", timeout_s=3_600)
    say(f"built in {time.monotonic() - started:.0f} s")
    check_image(project)
    bring_up(project)
    project.wait_rounds(3, what="with everybody there")
    check_containers(project)
    check_dashboard(project)
    operate(project)
    kill_one(project)
    cut_one_off(project)
    compare_ledgers(project)
    stop_and_start(project)


def say(line: str) -> None:
    print(f"e2e-compose: {line}", flush=True)


def measure(project: Project, line: str) -> None:
    """Say what was measured, and keep it for the end."""
    say(line)
    project.measured.append(line)


def bring_up(project: Project) -> None:
    """Start the five, and measure how long a user waits."""
    started = time.monotonic()
    project.run_compose("up", "-d", "--no-build")
    awaited = {"the first verdict": project.has_verdict, "five healthy containers": project.are_healthy}

    def tick() -> bool:
        for what in [what for what, holds in awaited.items() if holds()]:
            measure(project, f"from `up` to {what}: {time.monotonic() - started:.0f} s")
            del awaited[what]
        return not awaited

    wait_until(tick, what="a first verdict and the health of all five", timeout_s=600)


def check_image(project: Project) -> None:
    size_bytes = project.inspect(IMAGE)["Size"]
    assert isinstance(size_bytes, int)
    base_bytes = project.inspect("python:3.11-slim")["Size"]
    assert isinstance(base_bytes, int)
    above_mb = (size_bytes - base_bytes) / 1e6
    measure(project, f"image: {size_bytes / 1e6:.0f} MB, {above_mb:.0f} MB of it above its base, Python's own")


def check_containers(project: Project) -> None:
    """Nobody is root, nothing can compile, nothing but the volume and /tmp can be written."""
    for node in NODES:
        assert project.execute(node, "id", "-u").strip() == "10001", f"{node} runs as another user"
        found = [name for name in COMPILERS if succeeds(project, node, "which", name)]
        assert not found, f"{node} has {found}"
        assert not succeeds(project, node, "touch", "/opt/pnyx/written"), f"{node} can change its own program"
        assert succeeds(project, node, "touch", "/var/lib/pnyx/written"), f"{node} cannot write its home"
        host = get_object(project.inspect(project.get_container(node))["HostConfig"])
        assert host["Memory"] == 1 << 30, f"{node} may take all memory of the machine"
        log_options = get_object(get_object(host["LogConfig"])["Config"])
        assert {"max-size", "max-file"} <= set(log_options), f"the log of {node} grows without end"
    ports = get_object(get_object(project.inspect(project.get_container("alpha"))["NetworkSettings"])["Ports"])
    bindings = [get_object(entry) for entry in get_list(ports["8780/tcp"])]
    assert {str(entry["HostIp"]) for entry in bindings} == {"127.0.0.1"}
    memory = (f"{node} {read_memory_mb(project, node):.0f} MB" for node in NODES)
    measure(project, "memory per container (a MB is 2**20 bytes): " + ", ".join(memory))


def read_memory_mb(project: Project, node: str) -> float:
    """Return what a node's processes hold in memory, shared pages counted once for each.

    One look, since others come and go: the health check is a process of its own.
    """
    # One that has ended meanwhile has nothing to say.
    each = "{ tr '\\0' ' ' < $p/cmdline && cat $p/statm; } 2>/dev/null"
    told = project.execute(node, "sh", "-c", f"for p in /proc/[0-9]*; do {each}; done; true")
    seen = {kind: [line for line in told.splitlines() if kind in line] for kind in ("/pnyx run", "-m node.worker")}
    assert all(len(lines) == 1 for lines in seen.values()), f"not one daemon and one worker: {seen}"
    # The second of seven numbers at the end: resident pages.
    return sum(int(line.split()[-6]) for lines in seen.values() for line in lines) * 4_096 / (1 << 20)


def check_dashboard(project: Project) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=10) as response:
        assert b"<title>pnyx</title>" in response.read()
    assert get_object(project.ask("/readyz"))["is_ready"] is True


def operate(project: Project) -> None:
    """What the guide tells an operator to do with a node in a container."""
    chain_id = str(project.ask_status()["chain_id"])
    assert "\nstanding\tmember\n" in project.call("beta", "pnyx", "status")
    assert project.call("beta", "pnyx", "doctor").splitlines()[-1].startswith("good: 0 failed")
    seen = project.call("beta", "sh", "-c", "timeout 30 pnyx watch | head -n 20")
    assert len(seen.splitlines()) == 20, f"pnyx watch said only: {seen}"
    passphrase = "PNYX_BACKUP_PASSPHRASE=of the backup"
    project.call("-e", passphrase, "beta", "pnyx", "key", "backup", "-o", "beta.backup")
    project.call("beta", "pnyx", "ledger", "export", "-o", "compose.ledger")
    for name in ("beta.backup", "compose.ledger"):
        project.run_docker("cp", f"{project.get_container('beta')}:/var/lib/pnyx/{name}", str(project.folder / name))
    pnyx = ("env", passphrase, sys.executable, "-m", "cli")
    checked = run([*pnyx, "key", "check", str(project.folder / "beta.backup")], environment=project.environment)
    assert {f"chain{chain_id}", "namebeta"} <= {"".join(line.split()) for line in checked.splitlines()}, checked
    verified = run([*pnyx, "verify", str(project.folder / "compose.ledger")], environment=project.environment)
    assert verified.startswith(f"good: network compose, chain {chain_id}\n"), verified


def find_alerts(project: Project) -> dict[str, str]:
    alerts = [get_object(alert) for alert in get_list(project.ask("/api/v1/alerts"))]
    return {str(alert["code"]): str(alert["text"]) for alert in alerts}


def kill_one(project: Project) -> None:
    say("killing beta")
    project.run_docker("kill", project.get_container("beta"))
    wait_until(lambda: "beta" in find_alerts(project).get("members_offline", ""), what="the alert that beta is away")
    project.wait_rounds(2, what="without beta")
    project.run_docker("start", project.get_container("beta"))
    wait_until(project.are_healthy, what="the health of beta after its restart")


def cut_one_off(project: Project) -> None:
    say("cutting delta off")
    network, container = project.get_network("members"), project.get_container("delta")
    project.run_docker("network", "disconnect", network, container)
    wait_until(lambda: project.get_health("delta") == "unhealthy", what="delta's own word that it is cut off")
    project.wait_rounds(2, what="without delta")
    project.run_docker("network", "connect", "--alias", "delta", network, container)
    wait_until(project.are_healthy, what="the health of delta after it was connected again")


def compare_ledgers(project: Project) -> None:
    """Every height that two nodes have is the same to both, beyond everything that happened."""
    height = project.ask_status()["height"]
    assert isinstance(height, int)
    wait_until(lambda: all(read_height(project, node) >= height for node in NODES), what=f"height {height} everywhere")
    roots = {node: project.read_roots(node) for node in NODES}
    common = set.intersection(*(set(known) for known in roots.values()))
    assert max(common) >= height
    assert set(range(1, height + 1)) <= common
    differing = [at for at in sorted(common) if len({known[at] for known in roots.values()}) > 1]
    assert not differing, f"the ledgers differ from height {differing[0]} on"
    say(f"all five ledgers agree up to height {max(common)}")


def stop_and_start(project: Project) -> None:
    """What the volumes hold outlives the containers, and a second `up` founds nothing anew."""
    before = project.ask_status()
    project.compose_down(with_volumes=False)
    project.run_compose("up", "-d")
    wait_until(project.are_healthy, what="the health of all five after a second `up`")
    after = project.ask_status()
    assert after["chain_id"] == before["chain_id"]
    assert get_height(after) >= get_height(before)
    project.wait_rounds(1, what="after a second `up`")
    say("the network went on after `down` and `up`")


def read_height(project: Project, node: str) -> int:
    told = project.execute(
        node, "python3", "-c",
        "import json, urllib.request as r;"
        "print(json.load(r.urlopen('http://127.0.0.1:8780/api/v1/status', timeout=5))['height'])",
    )  # fmt: skip
    return int(told)


def get_height(status: JsonObject) -> int:
    height = status["height"]
    assert isinstance(height, int)
    return height


def succeeds(project: Project, node: str, *command: str) -> bool:
    """Return whether a command inside a container ends well."""
    ended = subprocess.run(
        ["docker", "exec", project.get_container(node), *command],
        env=dict(project.environment),
        capture_output=True,
        check=False,
        timeout=60,
    )
    return ended.returncode == 0
