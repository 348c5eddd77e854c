"""What a demo runs: its numbers, its members, and homes made as ``pnyx init`` and ``genesis create`` make them."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.config import Config
from node.config_keys import Attack
from node.errors import ConfigError
from node.fleet.homes import (
    NODE_COUNT_MAX,
    NODE_COUNT_MIN,
    found_network,
    make_local_addresses,
    make_member_name,
)
from node.founding import Foundation, build_parameters, parse_pairs
from node.testnet import NodeSpec
from protocol.genesis import TaskSpec
from protocol.parameters import AggregationRule, Parameters, Preset
from protocol.units import MICRO_TOKENS_PER_TOKEN

TREASURY_TOKENS_PER_NODE: Final = 64
EPOCH_BLOCKS: Final = 10
"""Few, so that a short demo shows members lose their weight between two epochs, and rounds drawn under a group key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlan:
    """One demo."""

    directory: Path
    """Where the homes go, one directory each."""
    is_kept: bool
    node_count: int
    malicious_count: int
    attack: Attack
    round_count: int
    task: str
    task_params: tuple[str, ...]
    """``key=value`` words."""
    settings: tuple[str, ...] = ()
    """Network parameters that differ from the demo's own, as ``name=value`` words."""
    search_paths: tuple[Path, ...] = ()
    """Folders in which an own task's module is found."""
    aggregation: AggregationRule
    seed: int

    @property
    def names(self) -> tuple[str, ...]:
        """The members' names; the malicious ones come last."""
        return tuple(make_member_name(index) for index in range(self.node_count))

    @property
    def malicious_names(self) -> tuple[str, ...]:
        """The names of the members that misbehave on purpose."""
        return self.names[self.node_count - self.malicious_count :]

    @property
    def stake_initial(self) -> int:
        """Each member's stake at genesis, in micro-tokens."""
        return self.build_parameters().stake_initial

    def build_parameters(self) -> Parameters:
        """Return the network's parameters: deadlines that a slow machine meets as well, and a treasury for rewards."""
        return build_parameters(
            preset=Preset.NEUTRAL,
            member_count=self.node_count,
            choices={
                "aggregation": self.aggregation,
                "rounds_max": self.round_count,
                "proposer_count": 2 if self.node_count > 5 else 1,
                "epoch_blocks": EPOCH_BLOCKS,
                "treasury_initial": TREASURY_TOKENS_PER_NODE * self.node_count * MICRO_TOKENS_PER_TOKEN,
                "train_deadline_ms": 60_000,
                "seal_deadline_ms": 30_000,
                "reveal_deadline_ms": 15_000,
                "timeout_view_ms": 1_500,
                "timeout_view_max_ms": 10_000,
            },
            settings=self.settings,
        )


def check_plan(plan: DemoPlan) -> None:
    """Check that a demo can run.

    Raises:
        ConfigError: A number makes no sense, or the directory is in use; the message says what to give instead.
    """
    if not NODE_COUNT_MIN <= plan.node_count <= NODE_COUNT_MAX:
        raise ConfigError(f"--nodes {plan.node_count}: give {NODE_COUNT_MIN} to {NODE_COUNT_MAX}")
    if not 0 <= plan.malicious_count < plan.node_count:
        raise ConfigError(
            f"--malicious {plan.malicious_count}: at least one of {plan.node_count} members must be honest"
        )
    if plan.directory.exists() and any(plan.directory.iterdir()):
        raise ConfigError(f"{plan.directory} is not empty: choose another directory with --keep")
    plan.build_parameters()
    parse_pairs(plan.task_params)


@contextmanager
def choose_directory(keep: Path | None) -> Iterator[Path]:
    """Give the directory for the homes: the one to keep, or a temporary one that is removed at the end."""
    if keep is not None:
        yield keep.expanduser().absolute()
        return
    with tempfile.TemporaryDirectory(prefix="pnyx-demo-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


async def found_homes(plan: DemoPlan) -> tuple[NodeSpec, ...]:
    """Make every home, collect the cards, create the genesis document and give it to every home.

    Raises:
        ConfigError: As :func:`check_plan`, or the task cannot be used.
    """
    check_plan(plan)
    plan.directory.mkdir(parents=True, exist_ok=True)
    configs = [
        Config(
            name=name,
            listen=(address,),
            attack=plan.attack if name in plan.malicious_names else Attack.NONE,
            invert_ballots=name in plan.malicious_names,
        )
        for name, address in zip(plan.names, make_local_addresses(plan.node_count), strict=True)
    ]
    params = {"seed": str(plan.seed), **parse_pairs(plan.task_params)}
    foundation = Foundation(
        name="demo",
        task=TaskSpec(name=plan.task, params=tuple(sorted(params.items()))),
        parameters=plan.build_parameters(),
        search_paths=plan.search_paths,
    )
    return await found_network(plan.directory, configs, foundation)
