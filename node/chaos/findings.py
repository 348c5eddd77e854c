"""What a run of chaos found: its numbers, its checks, and the one line that it ends with."""

from dataclasses import dataclass

from node.demo.findings import Check
from node.json_values import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """How long the nodes of a trouble took to have a block that was new to the whole network when it ended."""

    what: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that a run found."""

    seed: int
    node_count: int
    seconds: int
    trouble_count: int
    height: int
    """That all ledgers have reached."""
    rounds: int
    """Settled in all ledgers."""
    slowest_recovery: Recovery | None
    longest_standstill_s: float
    """Between two blocks, while no storm hampered more nodes than are tolerated."""
    checks: tuple[Check, ...]
    elapsed_s: float
    directory: str

    @property
    def has_passed(self) -> bool:
        """Whether every check holds."""
        return all(check.holds for check in self.checks)


def format_result(findings: Findings) -> str:
    """Return the run's last line."""
    counts = f"chaos: {findings.trouble_count} events, {findings.height} heights, {findings.rounds} rounds"
    failed = [check.name for check in findings.checks if not check.holds]
    return f"{counts}, {'FAILED: ' + ', '.join(failed) if failed else 'ledgers equal, audits passed'}"


def format_details(findings: Findings) -> list[str]:
    """Return what stands above the last line: each check, and how long recovery took."""
    lines = [f"{'ok    ' if check.holds else 'FAILED'}  {check.name}: {check.detail}" for check in findings.checks]
    slowest = findings.slowest_recovery
    if slowest is not None:
        lines.append(f"slowest recovery {slowest.seconds:.1f} s, after: {slowest.what}")
    lines.append(f"longest time without a block outside storms {findings.longest_standstill_s:.1f} s")
    return lines


def format_repetition(findings: Findings) -> list[str]:
    """Return what to do about a failure."""
    return [
        f"the homes, logs and the timeline are in {findings.directory}",
        f"the same troubles again: pnyx testnet chaos --nodes {findings.node_count} --seconds {findings.seconds}"
        f" --seed {findings.seed}",
    ]


def build_document(findings: Findings) -> JsonObject:
    """Return the document that ``pnyx testnet chaos --json`` prints."""
    slowest = findings.slowest_recovery
    return {
        "seed": findings.seed,
        "nodes": findings.node_count,
        "seconds": findings.seconds,
        "events": findings.trouble_count,
        "height": findings.height,
        "rounds": findings.rounds,
        "slowest_recovery": None
        if slowest is None
        else {"what": slowest.what, "seconds": round(slowest.seconds, 1)},
        "longest_standstill_s": round(findings.longest_standstill_s, 1),
        "checks": [{"name": check.name, "holds": check.holds, "detail": check.detail} for check in findings.checks],
        "passed": findings.has_passed,
        "elapsed_s": round(findings.elapsed_s, 1),
        "directory": findings.directory,
    }
