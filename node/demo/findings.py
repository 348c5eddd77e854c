"""What a demo run found, and the one JSON document that it prints.

Everything comes from the daemons' own answers; what is computed here are means, sums and comparisons only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from node.json_values import JsonObject, JsonValue

SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Stake that a member lost in a round."""

    round: int
    member: str
    reason: str
    amount: int
    """Micro-tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedRound:
    """A settled round with members by name."""

    round: int
    verdict: str
    proposers: tuple[str, ...]
    voters: tuple[str, ...]
    accept_count: int
    reject_count: int
    condemned: tuple[str, ...]
    """Whose updates were condemned (F10)."""
    losses: tuple[Loss, ...]
    model: str
    """The digest of the model after the round."""
    seconds: float
    """From open to settled, in ledger time; the first round counts from when the network was up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StakeChange:
    """A member's bonded stake at genesis and at the end, in micro-tokens."""

    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Where a member's ledger stands at the end."""

    member: str
    height: int
    root: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Something that must hold after the run."""

    name: str
    holds: bool
    detail: str
    """What was found, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that a run found."""

    rounds: tuple[PlayedRound, ...]
    scores: Mapping[str, float]
    """Mean score of each model over the honest members' held-out data, by digest; 0 to 1."""
    genesis_model: str
    stakes: Mapping[str, StakeChange]
    malicious: tuple[str, ...]
    jailed: tuple[str, ...]
    """Members convicted of contradicting signatures (L7)."""
    supply: int
    counted_stake: int
    """The sum of all accounts, treasury and burned stake."""
    treasury: int
    ledgers: tuple[Ledger, ...]
    checks: tuple[Check, ...]
    elapsed_s: float
    setup_s: float
    first_verdict_s: float
    peak_rss_mb: float
    """The highest sum over all processes that was sampled, in units of 2**20 bytes; shared pages count for each."""
    directory: str | None
    """Where the homes are kept, if they are."""

    def with_ending(self, *, checks: tuple[Check, ...], elapsed_s: float, peak_rss_mb: float) -> "Findings":
        """Return these findings with what is known only once everything has stopped."""
        return replace(self, checks=checks, elapsed_s=elapsed_s, peak_rss_mb=peak_rss_mb)

    @property
    def score_before(self) -> float | None:
        """The genesis model's mean score."""
        return self.scores.get(self.genesis_model)

    @property
    def score_after(self) -> float | None:
        """The final model's mean score."""
        return self.scores.get(self.rounds[-1].model) if self.rounds else self.score_before

    @property
    def has_passed(self) -> bool:
        """Whether every check holds."""
        return all(check.holds for check in self.checks)


def do_ledgers_agree(ledgers: Sequence[Ledger]) -> bool:
    """Return whether all ledgers have one height and one root."""
    return len({(ledger.height, ledger.root) for ledger in ledgers}) == 1


def build_document(findings: Findings) -> JsonObject:
    """Return the document that ``pnyx demo --json`` prints."""
    return {
        "schema_version": SCHEMA_VERSION,
        "rounds": [_describe_round(played, findings.scores) for played in findings.rounds],
        "score_before": findings.score_before,
        "score_after": findings.score_after,
        "stakes": {
            name: {"before": change.before, "after": change.after} for name, change in sorted(findings.stakes.items())
        },
        "malicious": list[JsonValue](findings.malicious),
        "supply": findings.supply,
        "treasury": findings.treasury,
        "ledgers": [
            {"member": ledger.member, "height": ledger.height, "root": ledger.root} for ledger in findings.ledgers
        ],
        "ledgers_agree": do_ledgers_agree(findings.ledgers),
        "checks": [{"name": check.name, "holds": check.holds, "detail": check.detail} for check in findings.checks],
        "elapsed_s": round(findings.elapsed_s, 3),
        "setup_s": round(findings.setup_s, 3),
        "first_verdict_s": round(findings.first_verdict_s, 3),
        "peak_rss_mb": round(findings.peak_rss_mb, 1),
        "directory": findings.directory,
    }


def _describe_round(played: PlayedRound, scores: Mapping[str, float]) -> JsonObject:
    return {
        "round": played.round,
        "verdict": played.verdict,
        "proposers": list[JsonValue](played.proposers),
        "voters": list[JsonValue](played.voters),
        "accept_count": played.accept_count,
        "reject_count": played.reject_count,
        "condemned": list[JsonValue](played.condemned),
        "losses": [{"member": loss.member, "reason": loss.reason, "amount": loss.amount} for loss in played.losses],
        "model": played.model,
        "score": scores.get(played.model),
        "seconds": round(played.seconds, 3),
    }
