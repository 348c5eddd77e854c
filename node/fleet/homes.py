"""The homes of a network on one machine, made by the code behind ``pnyx init``, ``card`` and ``genesis``.

Used by the demo, the testnets and the end-to-end tests. A testnet's directory holds the homes, what the founders agreed
on in ``genesis/``, and ``testnet.json``, which names the nodes in the order of their making.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from node.clock import OsEntropy, WallClock
from node.config import Config
from node.durable import save_file
from node.errors import ConfigError
from node.founding import Foundation, create_genesis, install_genesis
from node.home import init_home, load_home
from node.json_documents import format_json, from_json, parse_json
from node.json_values import JsonObject, JsonValue
from node.testnet import NodeSpec, find_free_ports
from protocol.units import MemberId

NODE_COUNT_MIN: Final = 2
NODE_COUNT_MAX: Final = 40
LAYOUT_NAME: Final = "testnet.json"
GENESIS_DIRECTORY: Final = "genesis"
LAYOUT_VERSION: Final = 1

_NAMES: Final = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu"),
    *("nu", "xi", "omicron", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What ``testnet.json`` says."""

    version: int
    nodes: tuple[str, ...]
    """Names; each is also the name of the home's directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A node as the others know it."""

    spec: NodeSpec
    member: MemberId
    port: int
    """Where its daemon listens, on loopback."""


def make_member_name(index: int) -> str:
    """Return a short name that people can tell apart: a Greek letter, with a number from the second alphabet on."""
    cycle, letter = divmod(index, len(_NAMES))
    return _NAMES[letter] if cycle == 0 else f"{_NAMES[letter]}{cycle + 1}"


def make_local_addresses(count: int) -> tuple[str, ...]:
    """Return so many addresses on loopback where nobody listens just now."""
    return tuple(f"/ip4/127.0.0.1/tcp/{port}" for port in find_free_ports(count))


async def found_network(
    directory: Path, configs: Sequence[Config], foundation: Foundation
) -> tuple[NodeSpec, ...]:
    """Make every home, collect the cards, create the genesis document and give it to every home.

    Raises:
        ConfigError: The directory is in use, or the task or a parameter cannot be used.
    """
    cards = [init_home(directory / config.name, config, entropy=OsEntropy()).make_card() for config in configs]
    shared = directory / GENESIS_DIRECTORY
    await create_genesis(cards, foundation, directory=shared, entropy=OsEntropy(), clock=WallClock())
    specs = tuple(NodeSpec(name=config.name, home=directory / config.name) for config in configs)
    for spec in specs:
        install_genesis(shared, spec.home)
    return specs


async def create_testnet(directory: Path, foundation: Foundation, *, node_count: int) -> tuple[NodeSpec, ...]:
    """Make a testnet's directory: homes that only wait to be started.

    Args:
        directory: Where.
        foundation: What the network is. In what its tasks are told alone, ``{number}`` is each node's, from 1.
        node_count: How many homes.

    Raises:
        ConfigError: The directory is not empty, the number makes no sense, or the task cannot be used.
    """
    if not NODE_COUNT_MIN <= node_count <= NODE_COUNT_MAX:
        raise ConfigError(f"--nodes {node_count}: give {NODE_COUNT_MIN} to {NODE_COUNT_MAX}")
    if directory.exists() and any(directory.iterdir()):
        raise ConfigError(f"{directory} is not empty: choose another directory")
    directory.mkdir(parents=True, exist_ok=True)
    addresses = make_local_addresses(node_count)
    configs = [
        Config(name=make_member_name(index), listen=(address,), task=_number_texts(foundation.local, index + 1))
        for index, address in enumerate(addresses)
    ]
    first = replace(foundation, local=_number_texts(foundation.local, 1))
    specs = await found_network(directory, configs, first)
    # Comes last: a directory without it was not finished.
    names: list[JsonValue] = [spec.name for spec in specs]
    layout: JsonObject = {"version": LAYOUT_VERSION, "nodes": names}
    save_file(directory / LAYOUT_NAME, format_json(layout).encode())
    return specs


def _number_texts(texts: tuple[tuple[str, str], ...], number: int) -> tuple[tuple[str, str], ...]:
    return tuple((name, text.replace("{number}", str(number))) for name, text in texts)


def has_testnet(directory: Path) -> bool:
    """Return whether a directory holds a testnet."""
    return (directory / LAYOUT_NAME).is_file()


def load_testnet(directory: Path) -> tuple[NodeSpec, ...]:
    """Return the nodes of a testnet's directory.

    Raises:
        ConfigError: There is no testnet, or its ``testnet.json`` is damaged.
    """
    path = directory / LAYOUT_NAME
    if not path.is_file():
        raise ConfigError(f"there is no testnet in {directory}: make one with: pnyx testnet create {directory}")
    layout = from_json(Layout, parse_json(path.read_text(encoding="utf-8"), where=str(path)), where=str(path))
    if layout.version != LAYOUT_VERSION:
        raise ConfigError(f"{path} is of version {layout.version}: use the pnyx that made it")
    return tuple(NodeSpec(name=name, home=directory / name) for name in layout.nodes)


def read_place(spec: NodeSpec) -> Place:
    """Return who a node is and where its daemon listens.

    Raises:
        ConfigError: The home is damaged, or its daemon does not listen on loopback.
    """
    home = load_home(spec.home, environment={})
    address = home.config.listen[0]
    words = address.split("/")
    if words[:4] != ["", "ip4", "127.0.0.1", "tcp"]:
        raise ConfigError(f"{home.paths.config}: listen is {address}; in a testnet it must begin /ip4/127.0.0.1/tcp/")
    return Place(spec=spec, member=home.keys.signing.member, port=int(words[4]))
