"""Commands that inspect, export and audit a ledger; they need no running node."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.commands.common import (
    DEFAULT_HOME,
    HomeOption,
    JsonOption,
    format_bytes,
    format_tokens,
    get_home,
    print_json,
    print_line,
    print_table,
)

if TYPE_CHECKING:
    from node.json_values import JsonObject
    from protocol.audit import AuditReport
    from protocol.interface import FinalizedBlock
    from protocol.outcomes import BlockOutcome
    from protocol.units import MemberId

ShowLimit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many blocks to show at most.")]


def show(
    home: HomeOption = DEFAULT_HOME,
    from_height: Annotated[int, typer.Option("--from", min=1, help="The first height to show.")] = 1,
    limit: ShowLimit = 50,
    as_json: JsonOption = False,
) -> None:
    """Show final blocks: who proposed them, and what they did."""
    from itertools import islice

    from node.json_values import get_list, get_object
    from node.ledger_export import open_ledger, read_names
    from protocol.units import Height

    genesis, reader = open_ledger(get_home(home))
    with closing(reader):
        blocks = list(islice(reader.iterate_blocks(Height(from_height)), limit))
        leaders = {finalized.block.header.leader for finalized, _ in blocks}
        names = read_names(genesis, reader, leaders)
    described = [_describe_block(names, finalized, outcome) for finalized, outcome in blocks]
    if as_json:
        print_json(list(described))
        return
    header = ("height", "view", "leader", "operations", "refused", "certified", "root", "what")
    rows = [
        (
            str(block["height"]),
            str(block["view"]),
            str(block["leader_name"]),
            str(block["operation_count"]),
            str(block["refused_count"]),
            "yes" if block["is_certified"] else "-",
            str(block["state_root"])[:8],
            str(block["settled"] or ""),
        )
        for block in described
    ]
    print_table("blocks", header, rows)
    for refused in [get_object(entry) for block in described for entry in get_list(block["refused"])]:
        print_line(f"refused {str(refused['operation_id'])[:8]}: {refused['refusal']}: {refused['error']}")


def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.", dir_okay=False)],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write the whole ledger to one file that anybody can verify; the node may run or not."""
    from node.durable import raise_for_os_error
    from node.ledger_export import export_ledger

    try:
        with output.open("wb") as target:
            trailer = export_ledger(get_home(home), target)
    except OSError as error:
        raise_for_os_error(error, output)
    if as_json:
        print_json(
            {
                "file": str(output),
                "height": trailer.height,
                "state_root": trailer.state_root.hex(),
                "bytes": output.stat().st_size,
            }
        )
        return
    size = format_bytes(output.stat().st_size)
    print_line(f"wrote {output}: {trailer.height} blocks, {size}, state root {trailer.state_root.hex()[:16]}")
    print_line(f"check it with: pnyx verify {output}")


def verify(export_file: Annotated[Path, typer.Argument(help="A ledger export.")], as_json: JsonOption = False) -> None:
    """Audit a ledger export from genesis, trusting nobody; names the first wrong thing and its height."""
    from node.durable import raise_for_os_error
    from node.refusals import SENTENCES
    from protocol.audit import AuditFailure, verify_export

    try:
        with export_file.open("rb") as source:
            report = verify_export(source)
    except OSError as error:
        raise_for_os_error(error, export_file)
    except AuditFailure as failure:
        if as_json:
            print_json({"ok": False, "height": failure.height, "what": failure.what})
        else:
            print_line(f"WRONG at height {failure.height}: {failure.what}")
        raise typer.Exit(1) from failure
    if as_json:
        print_json(_describe_report(report))
        return
    verdicts = ", ".join(f"{count} {verdict.name}" for verdict, count in report.verdicts) or "none"
    print_line(f"good: network {report.network_name}, chain {report.chain_id.hex()}")
    print_line("      (compare the chain id with the one that the founders agreed on)")
    print_line(f"      height {report.height}, state root {report.state_root.hex()}")
    print_line(f"      {report.rounds} rounds: {verdicts}")
    drawn = sum(drawn.proof is not None for key in report.beacon_keys for drawn in key.outputs)
    print_line(f"      {drawn} outputs of the beacon verified under {len(report.beacon_keys)} keys")
    print_line(
        f"      {report.operation_count} operations ({report.refused_count} refused), "
        f"{report.certificate_count} certificates, {report.signature_count} signatures checked"
    )
    for refusal, count in report.refusals:
        print_line(f"      refused {count} as {refusal.name}: {SENTENCES[refusal]}")
    print_line(f"      supply {format_tokens(report.supply)} tokens, every micro-token accounted for")


def _describe_block(names: "dict[MemberId, str]", finalized: "FinalizedBlock", outcome: "BlockOutcome") -> "JsonObject":
    from node.observations import describe_refused

    header = finalized.block.header
    refused = describe_refused(outcome)
    settled = outcome.settled
    return {
        "height": header.height,
        "view": header.view,
        "time_ms": header.time_ms,
        "leader": header.leader.hex(),
        "leader_name": names.get(header.leader, header.leader.hex()[:8]),
        "operation_count": len(outcome.results),
        "refused_count": len(refused),
        "refused": refused,
        "is_certified": finalized.certificate is not None,
        "state_root": outcome.state_root.hex(),
        "settled": None if settled is None else f"round {settled.round}: {settled.verdict.name}",
    }


def _describe_report(report: "AuditReport") -> "JsonObject":
    return {
        "ok": True,
        "chain_id": report.chain_id.hex(),
        "network": report.network_name,
        "height": report.height,
        "state_root": report.state_root.hex(),
        "rounds": report.rounds,
        "verdicts": {verdict.name: count for verdict, count in report.verdicts},
        "degraded_count": report.degraded_count,
        "beacon": [
            {
                "epoch": key.epoch,
                "public_key": key.public_key.hex(),
                "verified": sum(drawn.proof is not None for drawn in key.outputs),
                "degraded": sum(drawn.proof is None for drawn in key.outputs),
            }
            for key in report.beacon_keys
        ],
        "supply": report.supply,
        "treasury": report.treasury,
        "model": report.model_digest.hex(),
        "operation_count": report.operation_count,
        "refused_count": report.refused_count,
        "refusals": {refusal.name: count for refusal, count in report.refusals},
        "certificate_count": report.certificate_count,
        "signature_count": report.signature_count,
    }
