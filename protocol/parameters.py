"""The numbers of one network, fixed in its genesis document, and the relations between them that must hold.

Amounts are micro-tokens, shares basis points, times milliseconds of ledger time (C8).
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from protocol.errors import InvalidMessage
from protocol.units import BPS_WHOLE, MICRO_TOKENS_PER_TOKEN, Bps, Millis, Round, Stake


class AggregationRule(IntEnum):
    """How the updates of a round become its candidate (F5)."""

    MEAN = 0
    MEDIAN = 1
    CLIPPED_MEAN = 2
    TRIMMED_MEAN = 3
    KRUM = 4
    MULTI_KRUM = 5
    BULYAN = 6
    GEOMETRIC_MEDIAN = 7
    CENTERED_CLIPPING = 8


UPDATE_COUNT_MAX: Final = 255
"""The most updates of a round: sums of this many aligned integers stay below 2**63 (F4)."""


class Preset(IntEnum):
    """Who pays for what (F14): the paper's design, or the one that leaves honest members out of the attackers' bill."""

    NEUTRAL = 0
    PAPER = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregationChoice:
    """A rule with the numbers that it goes by, as the genesis document has them (F5)."""

    rule: AggregationRule
    malicious_assumed_bps: Bps
    clip_radius_micro: int
    aggregation_iterations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Everything about a network that its members must agree on and that is a number or a choice."""

    preset: Preset = Preset.NEUTRAL
    aggregation: AggregationRule = AggregationRule.MEDIAN
    malicious_assumed_bps: Bps = Bps(3_000)
    """The share of the updates, rounded up to whole ones, that trimmed mean, Krum, multi-Krum and Bulyan allow for."""
    clip_radius_micro: int = 0
    """To which L2 norm, in millionths, clipped mean and centered clipping shorten; 0 takes the median of the norms."""
    aggregation_iterations: int = 32
    """Steps of geometric median and centered clipping."""
    rounds_max: Round = Round(0)
    """The job ends when this round has settled; 0 means that it never ends."""

    proposer_count: int = 2
    """Members drawn to train in a round."""
    voter_count_max: int = 21
    """Members drawn to judge are an odd number, at most this many (F16)."""
    updates_min: int = 1
    """With fewer updates than this at the deadline, the round is void."""
    tolerance_bps: Bps = Bps(500)
    """By how much of the reference's score a candidate may fall short and still be accepted (F7)."""
    screening_bps: Bps = Bps(20)
    """By how much of the base's score an eighth of a member's updates may lower it on average, unflagged (F8)."""
    draw_weight_max_bps: Bps = Bps(2_500)
    """The share of all eligible stake above which a member's own counts no further in a draw (F2)."""

    stake_initial: Stake = Stake(64 * MICRO_TOKENS_PER_TOKEN)
    """Each founder's bonded stake."""
    treasury_initial: Stake = Stake(0)
    bond_min: Stake = Stake(8 * MICRO_TOKENS_PER_TOKEN)
    """A member with less is exhausted: drawn for nothing (L5)."""
    slash_update: Stake = Stake(12 * MICRO_TOKENS_PER_TOKEN)
    """What a condemned update costs when all voters agree; less where they are divided (F14)."""
    slash_vote: Stake = Stake(4 * MICRO_TOKENS_PER_TOKEN)
    """What a vote against all others costs; less where they are divided (F14)."""
    slash_absent: Stake = Stake(1 * MICRO_TOKENS_PER_TOKEN)
    reward_vote: Stake = Stake(MICRO_TOKENS_PER_TOKEN // 4)
    reward_update: Stake = Stake(1 * MICRO_TOKENS_PER_TOKEN)
    slash_equivocation_bps: Bps = Bps(5_000)
    """Share of the stake that provable double signing costs (L7)."""
    epoch_blocks: int = 100
    """Blocks of an epoch: members and weights change only between two epochs (C13)."""
    slash_ceremony: Stake = Stake(8 * MICRO_TOKENS_PER_TOKEN)
    """What a wrong share costs its dealer, and a false complaint its author (B4)."""
    beacon_wait_ms: Millis = Millis(5_000)
    """How long a round waits for the threshold beacon at least before it draws from the mix (B5)."""
    beacon_wait_blocks: int = 8
    """How many blocks without the output it takes besides: one leader alone cannot leave it out (B5)."""
    evidence_window_epochs: int = 2
    """Evidence about an epoch convicts for so many epochs more (L7); its stake stays slashable for as long (L6)."""

    train_deadline_ms: Millis = Millis(60_000)
    seal_deadline_ms: Millis = Millis(60_000)
    reveal_deadline_ms: Millis = Millis(20_000)

    timeout_view_ms: Millis = Millis(2_000)
    """A view's first timeout (C4); it doubles with each failed view up to the maximum (C11)."""
    timeout_view_max_ms: Millis = Millis(30_000)
    block_interval_ms: Millis = Millis(50)
    """A leader waits this long after the parent's time, so that operations of one instant share a block."""
    idle_block_ms: Millis = Millis(0)
    """A heartbeat block at most this often while there is nothing to order (C12); 0 means never."""
    clock_drift_max_ms: Millis = Millis(5_000)
    """A voter refuses a block further than this from its own clock (C8)."""
    block_operations_max: int = 128
    block_bytes_max: int = 128_000
    artifact_bytes_max: int = 1 << 30
    """The largest update or model that is accepted, in bytes."""


PARAMETER_BOUNDS: Final[tuple[tuple[str, int, int], ...]] = (
    ("rounds_max", 0, 10**9),
    ("malicious_assumed_bps", 0, BPS_WHOLE // 2 - 1),
    ("clip_radius_micro", 0, 10**15),
    ("aggregation_iterations", 1, 1_000),
    ("proposer_count", 1, UPDATE_COUNT_MAX),
    ("voter_count_max", 1, 1_001),
    ("updates_min", 1, UPDATE_COUNT_MAX),
    ("tolerance_bps", 0, BPS_WHOLE),
    ("screening_bps", 0, BPS_WHOLE),
    ("draw_weight_max_bps", 1, BPS_WHOLE),
    ("stake_initial", 1, 10**15),
    ("treasury_initial", 0, 10**15),
    ("bond_min", 1, 10**15),
    ("slash_update", 0, 10**15),
    ("slash_vote", 0, 10**15),
    ("slash_absent", 0, 10**15),
    ("reward_vote", 0, 10**15),
    ("reward_update", 0, 10**15),
    ("slash_equivocation_bps", 1, BPS_WHOLE),
    ("slash_ceremony", 0, 10**15),
    ("beacon_wait_ms", 50, 10**9),
    ("beacon_wait_blocks", 1, 10_000),
    ("epoch_blocks", 2, 10**9),
    ("evidence_window_epochs", 1, 1_000),
    ("train_deadline_ms", 100, 10**9),
    ("seal_deadline_ms", 100, 10**9),
    ("reveal_deadline_ms", 100, 10**9),
    ("timeout_view_ms", 50, 600_000),
    ("timeout_view_max_ms", 50, 3_600_000),
    ("block_interval_ms", 0, 600_000),
    ("idle_block_ms", 0, 10**9),
    ("clock_drift_max_ms", 10, 3_600_000),
    ("block_operations_max", 1, 1_000),
    ("block_bytes_max", 26_000, 160_000),
    ("artifact_bytes_max", 1_000, 1 << 40),
)
"""Lowest and highest legal value of each integer parameter."""


def check_parameters(parameters: Parameters) -> None:
    """Check each parameter's bounds and the relations between them.

    Raises:
        InvalidMessage: One is out of bounds or contradicts another; the message names it.
    """
    for name, lowest, highest in PARAMETER_BOUNDS:
        value = getattr(parameters, name)
        if not lowest <= value <= highest:
            raise InvalidMessage(f"parameter {name} is {value}, it must be from {lowest} to {highest}")
    update_count_min = compute_update_count_min(get_aggregation_choice(parameters))
    relations = (
        (parameters.updates_min <= parameters.proposer_count, "updates_min is above proposer_count"),
        (
            parameters.proposer_count >= update_count_min,
            f"aggregation {parameters.aggregation.name.lower()} needs proposer_count of at least {update_count_min}",
        ),
        (parameters.voter_count_max % 2 == 1, "voter_count_max is even; an odd number leaves no ties"),
        (parameters.bond_min <= parameters.stake_initial, "bond_min is above stake_initial: nobody could be drawn"),
        (parameters.timeout_view_ms <= parameters.timeout_view_max_ms, "timeout_view_ms is above timeout_view_max_ms"),
        (parameters.block_interval_ms < parameters.timeout_view_ms, "block_interval_ms is not below timeout_view_ms"),
    )
    for holds, message in relations:
        if not holds:
            raise InvalidMessage(f"parameters: {message}")


def get_aggregation_choice(parameters: Parameters) -> AggregationChoice:
    """Return the part of the parameters that a worker needs to aggregate."""
    return AggregationChoice(
        rule=parameters.aggregation,
        malicious_assumed_bps=parameters.malicious_assumed_bps,
        clip_radius_micro=parameters.clip_radius_micro,
        aggregation_iterations=parameters.aggregation_iterations,
    )


def compute_malicious_count_max(rule: AggregationRule, update_count: int) -> int:
    """Return how many malicious ones a rule can allow for among so many updates; negative if it needs more updates.

    Krum needs n >= 2f + 3 (P. Blanchard et al., NeurIPS 2017, section 4), Bulyan n >= 4f + 3 (E. M. El Mhamdi et al.,
    ICML 2018, section 4); any other rule breaks down when half of the updates are malicious.
    """
    match rule:
        case AggregationRule.KRUM | AggregationRule.MULTI_KRUM:
            return (update_count - 3) // 2
        case AggregationRule.BULYAN:
            return (update_count - 3) // 4
        case _:
            return (update_count - 1) // 2


def compute_update_count_min(choice: AggregationChoice) -> int:
    """Return with how few updates a rule is itself; Krum and its relatives join fewer as the median does (F5)."""
    malicious_count = 1 if choice.malicious_assumed_bps > 0 else 0
    match choice.rule:
        case AggregationRule.KRUM | AggregationRule.MULTI_KRUM:
            return 2 * malicious_count + 3
        case AggregationRule.BULYAN:
            return 4 * malicious_count + 3
        case _:
            return 1


def make_paper_parameters(parameters: Parameters, *, member_count: int) -> Parameters:
    """Return parameters with the known constants of the paper's design (arXiv 2307.00543).

    Mean of the updates, a tenth of the members proposing, 64 tokens of stake, 8 tokens per slash, tolerance 0.05, and
    no reward but what the losers of a vote pay.
    """
    eight_tokens = Stake(8 * MICRO_TOKENS_PER_TOKEN)
    return replace(
        parameters,
        preset=Preset.PAPER,
        aggregation=AggregationRule.MEAN,
        proposer_count=max(1, member_count // 10),
        tolerance_bps=Bps(500),
        stake_initial=Stake(64 * MICRO_TOKENS_PER_TOKEN),
        bond_min=eight_tokens,
        slash_update=eight_tokens,
        slash_vote=eight_tokens,
        slash_absent=eight_tokens,
        slash_ceremony=eight_tokens,
        reward_vote=Stake(0),
        reward_update=Stake(0),
    )
