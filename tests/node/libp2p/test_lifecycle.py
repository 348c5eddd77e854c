"""Start, stop, and what an operator did wrong."""

import socket
import threading
from pathlib import Path

import psutil
import pytest
import trio

from node.errors import AddressUnavailable, ConfigError
from node.libp2p_transport import open_transport
from tests.node.libp2p.members import Mailbox, get_port, make_settings, open_node, open_nodes


async def test_a_transport_listens_within_half_a_second_and_stops_within_one() -> None:
    started_at = trio.current_time()
    async with open_node(make_settings(0, count=2)) as node:
        assert trio.current_time() - started_at < 0.5
        assert get_port(node) > 0
        stopped_at = trio.current_time()
    assert trio.current_time() - stopped_at < 1


async def test_nothing_is_left_behind() -> None:
    process = psutil.Process()
    async with open_nodes(2):
        pass
    threads, descriptors = set(threading.enumerate()), process.num_fds()
    tasks = trio.lowlevel.current_statistics().tasks_living
    ports: list[int] = []
    for _ in range(3):
        async with open_nodes(3) as nodes:
            ports += [get_port(node) for node in nodes]
    assert set(threading.enumerate()) <= threads
    assert process.num_fds() <= descriptors
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    for port in ports:
        with pytest.raises(OSError, match="all attempts"):
            await trio.open_tcp_stream("127.0.0.1", port)


async def test_an_error_in_the_block_comes_out_and_stops_the_transport() -> None:
    with pytest.RaisesGroup(ZeroDivisionError):
        async with open_node(make_settings(0, count=2)):
            raise ZeroDivisionError


async def test_a_busy_listen_address_is_named_together_with_its_key() -> None:
    async with open_node(make_settings(0, count=2)) as first:
        address = f"/ip4/127.0.0.1/tcp/{get_port(first)}"
        with pytest.raises(AddressUnavailable, match=rf"{address} is in use .*\(config key 'listen'\)"):
            async with open_node(make_settings(1, count=2, listen=(address,))):
                pass


async def test_an_address_of_another_machine_is_named_together_with_its_key() -> None:
    with pytest.raises(AddressUnavailable, match=r"/ip4/192\.0\.2\.1/tcp/4001 is not an address of this machine"):
        async with open_node(make_settings(0, count=2, listen=("/ip4/192.0.2.1/tcp/4001",))):
            pass


async def test_a_second_busy_address_frees_the_first() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            free_port = probe.getsockname()[1]
        listen = (f"/ip4/127.0.0.1/tcp/{free_port}", busy)
        with pytest.raises(AddressUnavailable):
            async with open_node(make_settings(0, count=2, listen=listen)):
                pass
        async with open_node(make_settings(0, count=2, listen=listen[:1])) as node:
            assert get_port(node) == free_port


@pytest.mark.parametrize(
    "address", ["127.0.0.1:4001", "/ip4/127.0.0.1", "/ip4/127.0.0.1/udp/4001/quic-v1", "/ip4/127.0.0.1/tcp/70000", ""]
)
async def test_what_is_no_tcp_multiaddress_is_a_configuration_error(address: str) -> None:
    with pytest.raises(ConfigError, match="listen"):
        async with open_node(make_settings(0, count=2, listen=(address,))):
            pass
    peer = next(iter(make_settings(0, count=2).members))
    with pytest.raises(ConfigError, match="peers"):
        async with open_transport(
            make_settings(0, count=2, fixed_addresses={peer: (address,)}), on_gossip=Mailbox(), services={}
        ):
            pass
    # What the ledger tells is another member's mistake.
    async with open_node(make_settings(0, count=2, addresses={peer: (address,)})):
        pass


def test_only_this_package_imports_libp2p() -> None:
    root = Path(__file__).resolve().parents[3]
    modules = [path for folder in ("node", "protocol") for path in (root / folder).rglob("*.py")]
    importers = {
        path.parent.name for path in modules if "import libp2p" in (text := path.read_text()) or "from libp2p" in text
    }
    assert importers == {"libp2p_transport"}
