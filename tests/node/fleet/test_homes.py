"""A testnet's directory: what is refused, and what is read back."""

from pathlib import Path

import pytest

from node.clock import OsEntropy
from node.config import Config
from node.errors import ConfigError
from node.fleet.homes import (
    LAYOUT_NAME,
    create_testnet,
    has_testnet,
    load_testnet,
    make_local_addresses,
    read_place,
)
from node.founding import Foundation, build_parameters
from node.home import init_home, load_home
from node.testnet import NodeSpec
from protocol.genesis import TaskSpec
from protocol.parameters import Preset

FOUNDATION = Foundation(
    name="trial",
    task=TaskSpec(name="digits", params=()),
    parameters=build_parameters(preset=Preset.NEUTRAL, member_count=3, choices={}),
)


async def test_a_testnet_is_read_back_as_it_was_made(tmp_path: Path) -> None:
    directory = tmp_path / "net"
    specs = await create_testnet(directory, FOUNDATION, node_count=3)
    assert load_testnet(directory) == specs
    assert [spec.name for spec in specs] == ["alpha", "beta", "gamma"]
    chains = {load_home(spec.home, environment={}).load_genesis() for spec in specs}
    assert {founder.name for founder in chains.pop().founders} == {"alpha", "beta", "gamma"}
    assert not chains
    ports = {read_place(spec).port for spec in specs}
    assert len(ports) == 3


async def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match="is not empty"):
        await create_testnet(tmp_path, FOUNDATION, node_count=3)


async def test_a_network_of_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--nodes 1: give 2 to 40"):
        await create_testnet(tmp_path / "net", FOUNDATION, node_count=1)


def test_a_directory_without_a_testnet_says_how_to_make_one(tmp_path: Path) -> None:
    assert not has_testnet(tmp_path)
    with pytest.raises(ConfigError, match="pnyx testnet create"):
        load_testnet(tmp_path)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "this is no JSON"),
        ('{"version": 1}', "the key 'nodes' is missing"),
        ('{"version": 2, "nodes": []}', "of version 2"),
    ],
)
def test_a_damaged_layout_is_named(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / LAYOUT_NAME).write_text(text)
    with pytest.raises(ConfigError, match=what):
        load_testnet(tmp_path)


def test_a_node_that_does_not_listen_on_loopback_is_refused(tmp_path: Path) -> None:
    init_home(tmp_path / "ada", Config(name="ada", listen=("/ip4/0.0.0.0/tcp/4001",)), entropy=OsEntropy())
    with pytest.raises(ConfigError, match="in a testnet it must begin"):
        read_place(NodeSpec(name="ada", home=tmp_path / "ada"))


def test_local_addresses_differ() -> None:
    assert len(set(make_local_addresses(8))) == 8
