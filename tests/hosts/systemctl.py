"""A service manager as small as a test needs: starts what a unit says, and waits until the service is ready.

It reads ExecStart and EnvironmentFile of the unit in /etc/systemd/system, and speaks systemd's notification protocol.
It changes no user and restarts nothing.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

UNITS = Path("/etc/systemd/system")
STATE = Path("/var/lib/systemctl")
LOGS = Path("/var/log")
READY_WAIT_S = 120.0
STOP_WAIT_S = 60.0


def main() -> int:
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    verb, names = words[0], words[1:]
    STATE.mkdir(exist_ok=True)
    match verb:
        case "daemon-reload":
            return 0
        case "enable" | "start":
            return max(map(start, names))
        case "disable" | "stop":
            return max(map(stop, names))
        case "restart":
            return max(stop(name) or start(name) for name in names)
        case _:
            raise SystemExit(f"systemctl: {verb} is not for this test's service manager")


def start(name: str) -> int:
    settings = read_unit(UNITS / f"{name}.service")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PNYX_")}
    environment = {**inherited, **read_environment(settings.get("EnvironmentFile", ""))}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, (LOGS / f"{name}.log").open("ab") as log:
        address = STATE / f"{name}.{os.getpid()}"
        manager.bind(str(address))
        manager.settimeout(0.2)
        process = subprocess.Popen(
            shlex.split(settings["ExecStart"]),
            env={**environment, "NOTIFY_SOCKET": str(address)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        (STATE / f"{name}.pid").write_text(str(process.pid))
        deadline = time.monotonic() + READY_WAIT_S
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if manager.recv(100) == b"READY=1":
                    return 0
            except TimeoutError:
                continue
    sys.stderr.write(f"systemctl: {name} did not get ready:\n{(LOGS / f'{name}.log').read_text()[-2000:]}\n")
    return 1


def stop(name: str) -> int:
    pid = int((STATE / f"{name}.pid").read_text())
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_WAIT_S
    while time.monotonic() < deadline:
        if not is_running(pid):
            return 0
        time.sleep(0.05)
    sys.stderr.write(f"systemctl: {name} did not stop\n")
    return 1


def is_running(pid: int) -> bool:
    # Nobody waits for whom its parent has left, so it stays a zombie.
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def read_unit(path: Path) -> dict[str, str]:
    lines = (line.partition("=") for line in path.read_text().splitlines() if not line.startswith("#"))
    return {key: value for key, equals, value in lines if equals}


def read_environment(setting: str) -> dict[str, str]:
    path = Path(setting.removeprefix("-"))
    if not setting or (setting.startswith("-") and not path.exists()):
        return {}
    return dict(re.findall(r"^(\w+)=(.*)$", path.read_text(), re.MULTILINE))


if __name__ == "__main__":
    sys.exit(main())
