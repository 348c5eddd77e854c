"""Which directions a partition cuts, and what a daemon is told of its cables."""

from pathlib import Path

import pytest
import trio

from node.config import load_config
from node.config_keys import KEYS
from node.errors import AddressUnavailable
from node.fleet.homes import Place
from node.fleet.switchboard import Switchboard, list_links
from node.testnet import NodeSpec, find_free_ports
from protocol.units import MemberId

PLACES = tuple(
    Place(spec=NodeSpec(name=name, home=Path(name)), member=MemberId(bytes([number]) * 32), port=4_000 + number)
    for number, name in enumerate(("ada", "bob", "cyd"), start=1)
)


def test_a_partition_cuts_both_directions_between_its_groups_and_none_within() -> None:
    assert list_links([["a", "b"], ["c"]]) == {("a", "c"), ("b", "c"), ("c", "a"), ("c", "b")}


def test_three_groups_are_cut_from_one_another() -> None:
    assert list_links([["a"], ["b"], ["c"]]) == {(x, y) for x in "abc" for y in "abc" if x != y}


def test_a_one_way_partition_cuts_what_the_first_group_sends() -> None:
    assert list_links([["a"], ["b"], ["c"]], is_one_way=True) == {("a", "b"), ("a", "c")}


def test_a_daemon_is_told_its_own_cable_to_each_other_node(tmp_path: Path) -> None:
    environment = Switchboard(PLACES, can_drop=False).get_environment("bob")
    assert f"PNYX_{KEYS['peers'].name.upper()}" in environment
    home = tmp_path / "config.toml"
    home.write_text('name = "bob"\n')
    assert load_config(home, environment=environment).peers == (
        (PLACES[0].member, ("/ip4/127.64.2.1/tcp/4001",)),
        (PLACES[2].member, ("/ip4/127.64.2.3/tcp/4003",)),
    )


async def _exchange(board: Switchboard, dialler: Place, listener: Place) -> set[tuple[str, str]]:
    """Return which directions carry bytes on a connection that one place has made to the other before any cut."""
    names = (dialler.spec.name, listener.spec.name)
    heard: set[tuple[str, str]] = set()
    board.set_cuts(())
    async with trio.open_nursery() as nursery:
        accepted: list[trio.SocketStream] = []

        async def accept(stream: trio.SocketStream) -> None:
            accepted.append(stream)
            await trio.sleep_forever()

        listeners = await trio.open_tcp_listeners(listener.port, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, accept, listeners)
        host = board.get_address(*names).split("/")[2]
        near = await trio.open_tcp_stream(host, listener.port)
        async with near:
            await near.send_all(b"?")
            with trio.fail_after(5):
                while not accepted:
                    await trio.sleep(0.01)
                assert await accepted[0].receive_some() == b"?"
            board.set_cuts({("ada", "bob")})
            for source, sink, link in ((near, accepted[0], names), (accepted[0], near, names[::-1])):
                await source.send_all(b"!")
                with trio.move_on_after(0.5):
                    assert await sink.receive_some() == b"!"
                    heard.add(link)
        nursery.cancel_scope.cancel()
    return heard


async def test_a_cut_direction_is_cut_whoever_has_dialled() -> None:
    ports = find_free_ports(2)
    places = [
        Place(spec=place.spec, member=place.member, port=port)
        for place, port in zip(PLACES[:2], ports, strict=True)
    ]
    board = Switchboard(places, can_drop=False)
    async with trio.open_nursery() as nursery:
        await nursery.start(board.run)
        assert await _exchange(board, places[0], places[1]) == {("bob", "ada")}
        assert await _exchange(board, places[1], places[0]) == {("bob", "ada")}
        nursery.cancel_scope.cancel()


async def test_a_cable_that_cannot_be_laid_is_named() -> None:
    (port,) = find_free_ports(1)
    places = [
        Place(spec=place.spec, member=place.member, port=port if place.port == 4_001 else place.port)
        for place in PLACES[:2]
    ]
    first, second = Switchboard(places, can_drop=False), Switchboard(places, can_drop=False)
    async with trio.open_nursery() as nursery:
        await nursery.start(first.run)
        with pytest.raises(AddressUnavailable, match=r"/ip4/127\.64\.1\.2/tcp/"):
            await second.run()
        nursery.cancel_scope.cancel()
