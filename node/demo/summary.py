"""What a demo tells a person at the end."""

from collections import defaultdict
from typing import Final

from node.demo.findings import Findings, PlayedRound, do_ledgers_agree

_REASONS: Final = {
    "SLASH_UPDATE": "condemned updates",
    "SLASH_VOTE": "votes against the majority",
    "SLASH_ABSENT": "silence when drawn",
    "SLASH_EQUIVOCATION": "contradicting signatures",
    "SLASH_CEREMONY": "a wrong share, or a false complaint",
}


def format_round(played: PlayedRound, score: float | None) -> str:
    """Return one line about a settled round."""
    condemned = f"  condemned: {' '.join(played.condemned)}" if played.condemned else ""
    return (
        f"round {played.round:>3}  {played.verdict:<6}  {played.accept_count}:{played.reject_count}"
        f"  score {'  -  ' if score is None else f'{score:.3f}'}  {played.seconds:4.1f} s"
        f"  proposers: {' '.join(played.proposers)}  voters: {' '.join(played.voters)}{condemned}"
    )


def format_summary(findings: Findings) -> list[str]:
    """Return the summary, line by line."""
    lines = ["", _format_scores(findings), ""]
    lines += _format_stakes(findings)
    lines += ["", _format_ledgers(findings)]
    for check in findings.checks:
        lines.append(f"{'ok    ' if check.holds else 'FAILED'}  {check.name}: {check.detail}")
    lines += [
        "",
        f"took {findings.elapsed_s:.1f} s ({findings.setup_s:.1f} s until the first round, first verdict after "
        f"{findings.first_verdict_s:.1f} s), peak memory of all processes {findings.peak_rss_mb:,.0f} MB",
        *_format_next_steps(findings),
    ]
    return lines


def _format_scores(findings: Findings) -> str:
    before, after = findings.score_before, findings.score_after
    if before is None or after is None:
        return "the model's score on the honest members' held-out data is not known"
    accepted = sum(played.verdict == "ACCEPT" for played in findings.rounds)
    return (
        f"score on the honest members' held-out data: {before:.3f} before, {after:.3f} after "
        f"{len(findings.rounds)} rounds ({accepted} accepted)"
    )


def _format_stakes(findings: Findings) -> list[str]:
    lost: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for played in findings.rounds:
        for loss in played.losses:
            lost[loss.member][loss.reason] += loss.amount
    lines = [f"{'member':<12}{'before':>10}{'after':>10}{'change':>10}   lost for"]
    for name, change in sorted(findings.stakes.items(), key=lambda item: -item[1].after):
        reasons = ", ".join(
            f"{_REASONS.get(reason, reason.lower())} {_format_tokens(amount)}"
            for reason, amount in sorted(lost[name].items())
        )
        mark = " (malicious)" if name in findings.malicious else ""
        lines.append(
            f"{name:<12}{_format_tokens(change.before):>10}{_format_tokens(change.after):>10}"
            f"{_format_tokens(change.after - change.before, sign=True):>10}   {reasons or '-'}{mark}"
        )
    lines.append(f"{'treasury':<12}{'':>10}{_format_tokens(findings.treasury):>10}   (all amounts in tokens)")
    return lines


def _format_ledgers(findings: Findings) -> str:
    if not do_ledgers_agree(findings.ledgers):
        found = ", ".join(f"{ledger.member} {ledger.height}/{ledger.root[:8]}" for ledger in findings.ledgers)
        return f"the ledgers DISAGREE: {found}"
    first = findings.ledgers[0]
    return f"all {len(findings.ledgers)} ledgers agree: height {first.height}, root {first.root[:16]}"


def _format_next_steps(findings: Findings) -> list[str]:
    if findings.directory is None:
        return ["the nodes' homes were temporary; keep them with: pnyx demo --keep DIR"]
    first = findings.ledgers[0].member
    home = f"{findings.directory}/{first}"
    return [
        f"the nodes' homes are in {findings.directory}; try next:",
        f"  pnyx ledger export --home {home} -o ledger.pnyx && pnyx verify ledger.pnyx",
        f"  pnyx beacon export --home {home} -o beacon.json",
        f"  pnyx model export --home {home} -o model.safetensors",
        f"  pnyx run --home {home}",
    ]


def _format_tokens(micro_tokens: int, *, sign: bool = False) -> str:
    return f"{micro_tokens / 1_000_000:{'+' if sign else ''}.2f}"
