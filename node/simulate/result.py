"""What a simulation found, and the line of JSON that tells it."""

import json
from dataclasses import dataclass
from enum import StrEnum

from node.json_values import JsonObject
from node.simulate.plan import SimulationPlan


class MemberKind(StrEnum):
    """What a member was meant to be."""

    HONEST = "honest"
    MALICIOUS = "malicious"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundResult:
    """One settled round."""

    round: int
    verdict: str
    """``accept``, ``reject`` or ``void``."""
    score: float
    """The model's after this round: the mean over honest members, each on its own held-out data, 0 to 1."""
    stakes: tuple[int, ...]
    """What each member has bonded, in micro-tokens, by number."""
    evicted: tuple[int, ...]
    """Members that may not be drawn any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSpent:
    """Where the seconds went."""

    elapsed_s: float
    train_s: float
    evaluate_s: float
    aggregate_s: float

    @property
    def engine_s(self) -> float:
        """What is left for the engines, their ledger and the network between them."""
        return self.elapsed_s - self.train_s - self.evaluate_s - self.aggregate_s


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationResult:
    """One run."""

    plan: SimulationPlan
    score_initial: float
    rounds: tuple[RoundResult, ...]
    kinds: tuple[MemberKind, ...]
    backdoor: float | None
    """How often a trigger works in the last model, 0 to 1; None if the task knows no trigger."""
    ledger_root: str
    """Digest of the ledger's last state, in hexadecimal."""
    time: TimeSpent

    @property
    def score_final(self) -> float:
        """The last model's score."""
        return self.rounds[-1].score if self.rounds else self.score_initial

    @property
    def rejected_count(self) -> int:
        """How many rounds were rejected."""
        return sum(entry.verdict == "reject" for entry in self.rounds)

    def count_evicted(self, kind: MemberKind) -> int:
        """Return how many members of a kind may not be drawn any more in the end."""
        evicted = self.rounds[-1].evicted if self.rounds else ()
        return sum(self.kinds[index] is kind for index in evicted)


def build_summary(result: SimulationResult) -> JsonObject:
    """Return what ``pnyx simulate --json`` prints of a run."""
    plan = result.plan
    parameters = plan.build_parameters()
    return {
        "seed": plan.seed,
        "task": plan.task,
        "split": plan.split,
        "attack": plan.attack,
        "fraction": plan.fraction,
        "aggregation": parameters.aggregation.name.lower(),
        "preset": plan.preset.name.lower(),
        "score_initial": round(result.score_initial, 6),
        "score_final": round(result.score_final, 6),
        "rounds_rejected": result.rejected_count,
        "malicious": plan.malicious_count,
        "honest": plan.node_count - plan.malicious_count,
        "evicted_malicious": result.count_evicted(MemberKind.MALICIOUS),
        "evicted_honest": result.count_evicted(MemberKind.HONEST),
        "ledger_root": result.ledger_root,
        "elapsed_s": round(result.time.elapsed_s, 3),
        "scores": [round(entry.score, 6) for entry in result.rounds],
        "verdicts": [entry.verdict for entry in result.rounds],
    }


def format_line(result: SimulationResult) -> str:
    """Return a run as one line of JSON."""
    return json.dumps(build_summary(result), separators=(",", ":"))
