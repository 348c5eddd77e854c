"""What must hold after a demo, each with what was found."""

import io
from collections.abc import Sequence

from node.demo.findings import Check, Findings, Ledger, do_ledgers_agree
from node.demo.plan import DemoPlan
from node.ledger_export import export_ledger
from node.testnet import NodeProcess, NodeSpec
from protocol.audit import AuditFailure, verify_export


def build_checks(findings: Findings, plan: DemoPlan) -> tuple[Check, ...]:
    """Return the checks that the findings themselves answer."""
    convicted = [name for name in findings.jailed if name not in findings.malicious]
    settled_count = len(findings.rounds)
    return (
        Check(
            name="all rounds settled",
            holds=settled_count == plan.round_count,
            detail=f"{settled_count} of {plan.round_count}",
        ),
        Check(
            name="ledgers agree",
            holds=do_ledgers_agree(findings.ledgers),
            detail=", ".join(sorted({f"height {ledger.height} root {ledger.root[:8]}" for ledger in findings.ledgers})),
        ),
        Check(
            name="stake is conserved",
            holds=findings.counted_stake == findings.supply,
            detail=f"{findings.counted_stake:,} micro-tokens counted, supply {findings.supply:,}",
        ),
        Check(
            name="no honest member convicted",
            holds=not convicted,
            detail=", ".join(convicted) or "nobody",
        ),
    )


def check_clean_stop(nodes: Sequence[NodeProcess]) -> Check:
    """Return whether every daemon ended by itself when told to."""
    codes = {node.name: node.exit_code for node in nodes}
    unclean = [f"{name} with exit code {code}" for name, code in codes.items() if code != 0]
    return Check(
        name="daemons stopped cleanly", holds=not unclean, detail=", ".join(unclean) or f"{len(codes)} of {len(codes)}"
    )


def verify_ledger(spec: NodeSpec, expected: Ledger) -> Check:
    """Export one stopped node's ledger, replay it from genesis, and compare where it ends."""
    exported = io.BytesIO()
    export_ledger(spec.home, exported)
    exported.seek(0)
    try:
        report = verify_export(exported)
    except AuditFailure as failure:
        return Check(name="exported ledger verifies", holds=False, detail=str(failure))
    holds = (report.height, report.state_root.hex()) == (expected.height, expected.root)
    outputs = sum(drawn.proof is not None for key in report.beacon_keys for drawn in key.outputs)
    detail = (
        f"height {report.height}, root {report.state_root.hex()[:8]}, {report.certificate_count} certificates, "
        f"{outputs} of {report.rounds} rounds drawn by the threshold beacon"
    )
    return Check(name="exported ledger verifies", holds=holds, detail=detail)
