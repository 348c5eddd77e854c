"""What must hold after a run of chaos: read from the homes of stopped nodes, and from what they said before."""

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, TypeAlias

from node.demo.findings import Check
from node.errors import NodeError
from node.fleet.endings import Ending
from node.genesis_file import load_genesis
from node.home import HomePaths
from node.ledger_export import export_ledger, open_ledger
from node.testnet import LOG_NAME, NodeSpec
from protocol.audit import AuditFailure, AuditReport, verify_export
from protocol.blocks import compute_block_hash
from protocol.genesis import Genesis, compute_chain_id
from protocol.units import Digest, Height

Ledger: TypeAlias = dict[Height, tuple[Digest, Digest]]
"""Hash of each block, and state root after it."""

_ALARMS: Final = ("pnyx: ", "Traceback", "InvariantViolation", "Exception Group")
"""In lines that are no JSON: the last words of a daemon, and what Python writes of a crash."""
_ALARMS_SHOWN_MAX: Final = 3


def read_ledger(home: Path) -> Ledger:
    """Return a home's ledger."""
    genesis, reader = open_ledger(home)
    chain_id = compute_chain_id(genesis)
    with closing(reader):
        return {
            finalized.block.header.height: (
                compute_block_hash(chain_id, finalized.block.header),
                outcome.state_root,
            )
            for finalized, outcome in reader.iterate_blocks(Height(1))
        }


def check_ledgers(ledgers: Mapping[str, Ledger], *, reached: int) -> Check:
    """Return whether all ledgers are equal wherever two of them have a block, and all have what they had reached."""
    what = "ledgers equal"
    highest = max(max(ledger, default=Height(0)) for ledger in ledgers.values())
    for height in map(Height, range(1, highest + 1)):
        found = {ledger[height] for ledger in ledgers.values() if height in ledger}
        if len(found) != 1:
            return Check(name=what, holds=False, detail=f"{len(found)} different blocks or states at height {height}")
        missing = [name for name, ledger in sorted(ledgers.items()) if height not in ledger and height <= reached]
        if missing:
            return Check(name=what, holds=False, detail=f"{' '.join(missing)}: no block at height {height}")
    lowest = min(len(ledger) for ledger in ledgers.values())
    return Check(
        name=what,
        holds=lowest > 0,
        detail=f"{len(ledgers)} with the same blocks and states; they end at heights {lowest} to {highest}",
    )


def check_audits(specs: Sequence[NodeSpec], ledgers: Mapping[str, Ledger]) -> tuple[Check, ...]:
    """Return whether every home's export passes the audit and ends where its ledger says, and what the audits say."""
    reports: dict[str, AuditReport] = {}
    failures: list[str] = []
    for spec in specs:
        exported = io.BytesIO()
        try:
            export_ledger(spec.home, exported)
            exported.seek(0)
            report = verify_export(exported)
        except (AuditFailure, NodeError) as failure:
            failures.append(f"{spec.name}: {failure}")
            continue
        reports[spec.name] = report
        if ledgers[spec.name].get(report.height) != (report.tip_hash, report.state_root):
            failures.append(f"{spec.name}: the export ends in another state than the ledger")
    signature_count = sum(report.signature_count for report in reports.values())
    detail = f"{len(reports)} of {len(specs)}, {signature_count:,} signatures checked"
    detail = "; ".join(failures) or f"{detail}; {_count_verdicts(reports)}"
    genesis = load_genesis(HomePaths(root=specs[0].home).genesis)
    return (Check(name="audits passed", holds=not failures, detail=detail), *_check_stakes(genesis, reports))


def _count_verdicts(reports: Mapping[str, AuditReport]) -> str:
    """Return how the rounds of the longest ledger ended, in words."""
    longest = max(reports.values(), key=lambda report: report.height)
    return ", ".join(f"{count} {verdict.name}" for verdict, count in longest.verdicts)


def _check_stakes(genesis: Genesis, reports: Mapping[str, AuditReport]) -> tuple[Check, ...]:
    """Return whether nobody is jailed and the supply is the founders', in the ledger of every node."""
    names = {founder.member: founder.name for founder in genesis.founders}
    supply = len(names) * genesis.parameters.stake_initial + genesis.parameters.treasury_initial
    jailed = sorted({names[a.member] for report in reports.values() for a in report.accounts if a.is_jailed})
    wrong = sorted(name for name, report in reports.items() if report.supply != supply)
    return (
        Check(name="nobody jailed", holds=not jailed, detail=", ".join(jailed) or "nobody"),
        Check(
            name="stake is conserved",
            holds=not wrong,
            detail=f"another supply in the ledger of {' '.join(wrong)}" if wrong else f"{supply:,} micro-tokens",
        ),
    )


def check_endings(endings: Sequence[Ending]) -> Check:
    """Return whether every daemon ended only when told to, and as told."""
    wrong = [ending for ending in endings if not ending.is_right]
    detail = ", ".join(f"{ending.name} with exit code {ending.exit_code} when {ending.what}" for ending in wrong)
    return Check(
        name="daemons end only as told", holds=not wrong, detail=detail or f"{len(endings)} ends: {_count(endings)}"
    )


def check_logs(specs: Sequence[NodeSpec]) -> Check:
    """Return whether no log holds an error."""
    alarms = [f"{spec.name}: {line}" for spec in specs for line in find_alarms(_read_lines(spec.home / LOG_NAME))]
    shown = "; ".join(f"{line:.300}" for line in alarms[:_ALARMS_SHOWN_MAX])
    detail = f"{len(alarms)} lines, such as {shown}" if alarms else "no error in any"
    return Check(name="logs are clean", holds=not alarms, detail=detail)


def find_alarms(lines: Sequence[str]) -> list[str]:
    """Return the lines of a daemon's log that no run may have: errors, and whatever looks like a crash."""
    return [line for line in lines if _is_alarm(line)]


def _is_alarm(line: str) -> bool:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return any(word in line for word in _ALARMS)
    return isinstance(entry, dict) and entry.get("level") in {"error", "critical"}


def _read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []


def _count(endings: Sequence[Ending]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(Counter(ending.what for ending in endings).items()))
