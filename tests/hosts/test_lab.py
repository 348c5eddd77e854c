"""Machines made of namespaces are machines of their own."""

from pathlib import Path

import pytest

from tests.hosts.lab import find_obstacle, open_lab


def test_what_one_machine_does_to_itself_no_other_sees(tmp_path: Path) -> None:
    etc, var = sorted(Path("/etc").iterdir()), sorted(Path("/var/lib").iterdir())
    with open_lab(tmp_path, {"one": "192.0.2.1", "two": "203.0.113.2"}) as hosts:
        one, two = hosts["one"], hosts["two"]
        assert one.run("touch /etc/mine /var/lib/mine; export SAID=this; cd /var").returncode == 0
        assert one.run("echo $SAID $PWD $(hostname); ls /var/lib").stdout == "this /var one\nmine\n"
        assert one.run("echo ${SAID-nothing}", user="root").stdout == "nothing\n"
        assert two.run("ls /etc/mine").returncode != 0
        assert two.run("ps -e -o comm= | sort -u").stdout.split() == ["bash", "ps", "sleep", "sort"]
        assert "203.0.113.2/32" in two.run("ip -brief address").stdout
        assert "192.0.2.1/32" not in two.run("ip -brief address").stdout
    assert (sorted(Path("/etc").iterdir()), sorted(Path("/var/lib").iterdir())) == (etc, var)


SERVE = """
import socket
with socket.create_server(("203.0.113.2", 4001)) as server:
    print(server.accept()[1][0])
"""
CALL = """
import socket, time
while True:
    try:
        socket.create_connection(("203.0.113.2", 4001)).close()
        break
    except OSError:
        time.sleep(0.1)
"""


def test_machines_reach_each_other(tmp_path: Path) -> None:
    with open_lab(tmp_path, {"one": "192.0.2.1", "two": "203.0.113.2"}) as hosts:
        (hosts["two"].work / "serve.py").write_text(SERVE)
        (hosts["one"].work / "call.py").write_text(CALL)
        assert hosts["two"].run("python3 serve.py > served 2>&1 &").returncode == 0
        assert hosts["one"].run("python3 call.py").returncode == 0
        assert hosts["two"].run("until [ -s served ]; do sleep 0.1; done; cat served").stdout == "192.0.2.1\n"


def test_a_machine_without_the_tools_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "apt-get install iproute2" in str(find_obstacle.__wrapped__())
