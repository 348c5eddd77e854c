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
