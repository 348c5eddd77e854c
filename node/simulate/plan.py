"""What a simulation runs: its members, their task and data, the attack, and the network's numbers."""

import math
from dataclasses import dataclass
from typing import Final

from node.attacks import SCENARIOS, BallotKind, Scenario
from node.attacks.kinds import DEFAULT_STRENGTHS
from node.errors import ConfigError
from node.founding import build_parameters, parse_pairs
from node.json_documents import suggest
from protocol.parameters import (
    AggregationRule,
    Parameters,
    Preset,
    compute_update_count_min,
    get_aggregation_choice,
)
from protocol.units import MICRO_TOKENS_PER_TOKEN

NODE_COUNT_MIN: Final = 3
NODE_COUNT_MAX: Final = 200
ROUND_COUNT_MAX: Final = 10_000
FRACTION_MAX: Final = 0.9
TREASURY_TOKENS_PER_NODE: Final = 64
_PROPOSERS_MIN: Final = 3
_PROPOSER_PERCENT: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationPlan:
    """One run."""

    node_count: int = 10
    round_count: int = 60
    task: str = "digits"
    task_params: tuple[str, ...] = ()
    """``key=value`` words."""
    split: str = "iid"
    """As the tasks take it: ``iid``, ``dirichlet:ALPHA`` or ``site``."""
    attack: str = "none"
    """A name of :data:`node.attacks.SCENARIOS`."""
    ballots: BallotKind | None = None
    """What the malicious members do as voters, if not what the scenario says."""
    strength: float | None = None
    """Of the attack; None is its own."""
    fraction: float = 0.0
    """Of the members that are malicious, rounded to whole ones."""
    aggregation: AggregationRule | None = None
    """None is the preset's."""
    preset: Preset = Preset.NEUTRAL
    proposer_count: int | None = None
    """None: in preset ``paper`` a tenth of the members, else three tenths, or as many as the rule needs."""
    voter_count_max: int | None = None
    """None: 21 at most."""
    settings: tuple[str, ...] = ()
    """Further network parameters as ``name=value``."""
    seed: int = 1

    @property
    def scenario(self) -> Scenario:
        """What malicious members do."""
        scenario = SCENARIOS[self.attack]
        return scenario if self.ballots is None else Scenario(update=scenario.update, ballot=self.ballots)

    @property
    def malicious_count(self) -> int:
        """How many members are malicious."""
        return 0 if self.attack == "none" else math.floor(self.fraction * self.node_count + 0.5)

    @property
    def malicious(self) -> tuple[int, ...]:
        """Which members are malicious, by number: the last ones."""
        return tuple(range(self.node_count - self.malicious_count, self.node_count))

    @property
    def attack_strength(self) -> float:
        """How strong the attack is."""
        return DEFAULT_STRENGTHS.get(self.scenario.update, 0.0) if self.strength is None else self.strength

    def build_task_params(self) -> tuple[tuple[str, str], ...]:
        """Return the task's parameters as the genesis document has them."""
        params = {"seed": str(self.seed), "split": self.split, **parse_pairs(self.task_params)}
        return tuple(sorted(params.items()))

    def build_parameters(self) -> Parameters:
        """Return the network's parameters.

        Raises:
            ConfigError: They contradict each other.
        """
        choices = {
            "aggregation": self.aggregation,
            "rounds_max": self.round_count,
            "voter_count_max": self.voter_count_max,
            "treasury_initial": TREASURY_TOKENS_PER_NODE * self.node_count * MICRO_TOKENS_PER_TOKEN,
            "proposer_count": self.proposer_count,
        }
        if self.preset is Preset.NEUTRAL and self.proposer_count is None:
            chosen = Parameters() if self.aggregation is None else Parameters(aggregation=self.aggregation)
            needed = compute_update_count_min(get_aggregation_choice(chosen))
            choices["proposer_count"] = max(_PROPOSERS_MIN, needed, self.node_count * _PROPOSER_PERCENT // 100)
        return build_parameters(
            preset=self.preset, member_count=self.node_count, choices=choices, settings=self.settings
        )


def check_plan(plan: SimulationPlan) -> None:
    """Check that a simulation can run, as far as this can be told before the task is loaded.

    Raises:
        ConfigError: A number or a name makes no sense; the message says what to give instead.
    """
    if not NODE_COUNT_MIN <= plan.node_count <= NODE_COUNT_MAX:
        raise ConfigError(f"--nodes {plan.node_count}: give {NODE_COUNT_MIN} to {NODE_COUNT_MAX}")
    if not 1 <= plan.round_count <= ROUND_COUNT_MAX:
        raise ConfigError(f"--rounds {plan.round_count}: give 1 to {ROUND_COUNT_MAX}")
    if plan.attack not in SCENARIOS:
        raise ConfigError(f"unknown attack {plan.attack!r}{suggest(plan.attack, SCENARIOS)}")
    _check_malicious(plan)
    if plan.strength is not None and plan.scenario.update not in DEFAULT_STRENGTHS:
        known = ", ".join(kind.value for kind in DEFAULT_STRENGTHS)
        raise ConfigError(f"--strength: {plan.attack} has none; these have: {known}")
    if plan.attack_strength < 0.0 or not math.isfinite(plan.attack_strength):
        raise ConfigError(f"--strength {plan.attack_strength}: give a number from 0 up")
    if not 0 <= plan.seed < 2**64:
        raise ConfigError(f"--seed {plan.seed}: give 0 to {2**64 - 1}")
    parameters = plan.build_parameters()
    count = parameters.proposer_count
    if count >= plan.node_count:
        raise ConfigError(f"{count} proposers of {plan.node_count} members: leave somebody to vote, --proposers")
    plan.build_task_params()


def _check_malicious(plan: SimulationPlan) -> None:
    if not 0.0 <= plan.fraction <= FRACTION_MAX:
        raise ConfigError(f"--fraction {plan.fraction}: give 0 to {FRACTION_MAX}, some members must be honest")
    if plan.attack == "none" and plan.fraction > 0.0:
        raise ConfigError(f"--fraction {plan.fraction} of the members are to attack: say how with --attack")
    if plan.fraction == 0.0 and (plan.attack != "none" or plan.ballots is not None):
        what = f"--attack {plan.attack}" if plan.attack != "none" else f"--ballots {plan.ballots}"
        raise ConfigError(f"{what} needs --fraction, which share of the members is malicious, e.g. --fraction 0.3")
    if plan.attack != "none" and plan.malicious_count == 0:
        raise ConfigError(f"--fraction {plan.fraction} of {plan.node_count} members is nobody: give more")
    if plan.malicious_count >= plan.node_count:
        raise ConfigError(f"--fraction {plan.fraction} of {plan.node_count} members is everybody: give less")
