"""Runs chaos for whoever asked: the homes, the timeline, Ctrl-C, the last line and the exit code."""

import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import IO, Final

import trio

from node.chaos.findings import Findings, build_document, format_details, format_repetition, format_result
from node.chaos.run import Chaos, ChaosOrder
from node.failures import raise_cause
from node.fleet.homes import create_testnet, has_testnet, load_testnet
from node.founding import Foundation, build_parameters
from node.home import HomeLock, HomePaths
from node.testnet import NodeSpec
from protocol.genesis import TaskSpec
from protocol.parameters import AggregationRule, Preset
from protocol.units import MICRO_TOKENS_PER_TOKEN

TIMELINE_NAME: Final = "timeline.log"
EXIT_PASSED: Final = 0
EXIT_FAILED_CHECK: Final = 1
EXIT_INTERRUPTED: Final = 130

_CHOICES: Final = {
    "aggregation": AggregationRule.MEDIAN,
    "voter_count_max": 5,
    "epoch_blocks": 10,
    "treasury_initial": 1_000 * MICRO_TOKENS_PER_TOKEN,
    # What befalls these members is not their fault, and must not cost them their part in the rounds.
    "slash_absent": MICRO_TOKENS_PER_TOKEN // 1_000,
    "slash_vote": MICRO_TOKENS_PER_TOKEN // 1_000,
    "slash_update": MICRO_TOKENS_PER_TOKEN // 1_000,
    "train_deadline_ms": 2_500,
    "seal_deadline_ms": 2_500,
    "reveal_deadline_ms": 1_500,
    "timeout_view_ms": 800,
    "timeout_view_max_ms": 3_000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosRequest:
    """What the command was asked for."""

    directory: Path | None
    """A testnet's, or one to make; None takes a temporary one, which is removed unless the run fails."""
    node_count: int
    """Of a network that is made."""
    seconds: int
    seed: int


def show_chaos(request: ChaosRequest, *, as_json: bool) -> int:
    """Run chaos, print what was found, and return the exit code.

    Raises:
        HomeLocked: The testnet is up.
        NodeError: The network did not come up in the first place.
    """
    directory = request.directory or Path(tempfile.mkdtemp(prefix="pnyx-chaos-"))
    is_temporary = request.directory is None
    findings: Findings | None = None
    try:
        with raise_cause():
            findings = trio.run(_run_until_signal, request, directory)
        is_temporary = is_temporary and (findings is None or findings.has_passed)
    finally:
        if is_temporary:
            rmtree(directory, ignore_errors=True)
    if findings is None:
        sys.stderr.write("interrupted; everything is stopped\n")
        return EXIT_INTERRUPTED
    _print(findings, as_json=as_json)
    return EXIT_PASSED if findings.has_passed else EXIT_FAILED_CHECK


async def _run_until_signal(request: ChaosRequest, directory: Path) -> Findings | None:
    findings: Findings | None = None
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def wait_signal() -> None:
                async for _ in signals:
                    nursery.cancel_scope.cancel()
                    return

            nursery.start_soon(wait_signal)
            findings = await _run(request, directory)
            nursery.cancel_scope.cancel()
    return findings


async def _run(request: ChaosRequest, directory: Path) -> Findings:
    specs = load_testnet(directory) if has_testnet(directory) else await _found(request, directory)
    with HomeLock(HomePaths(root=directory)), _open_timeline(directory) as timeline:

        def say(line: str) -> None:
            for stream in (timeline, *((sys.stderr,) if sys.stderr.isatty() else ())):
                stream.write(line + "\n")
                stream.flush()

        say(f"seed {request.seed}, {len(specs)} nodes, {request.seconds} s of trouble")
        order = ChaosOrder(directory=directory, specs=specs, seconds=request.seconds, seed=request.seed)
        findings = await Chaos(order, say).run()
        for line in (*format_details(findings), format_result(findings)):
            timeline.write(line + "\n")
    return findings


async def _found(request: ChaosRequest, directory: Path) -> tuple[NodeSpec, ...]:
    proposer_count = 2 if request.node_count > 5 else 1
    foundation = Foundation(
        name="chaos",
        task=TaskSpec(name="digits", params=(("seed", str(request.seed)),)),
        parameters=build_parameters(
            preset=Preset.NEUTRAL,
            member_count=request.node_count,
            choices={**_CHOICES, "proposer_count": proposer_count},
        ),
    )
    return await create_testnet(directory, foundation, node_count=request.node_count)


@contextmanager
def _open_timeline(directory: Path) -> Iterator[IO[str]]:
    with (directory / TIMELINE_NAME).open("a", encoding="utf-8") as timeline:
        yield timeline


def _print(findings: Findings, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(build_document(findings), indent=2) + "\n")
        return
    if sys.stdout.isatty() or not findings.has_passed:
        sys.stderr.write("\n".join(format_details(findings)) + "\n")
    if not findings.has_passed:
        sys.stderr.write("\n".join(format_repetition(findings)) + "\n")
    sys.stderr.flush()
    sys.stdout.write(format_result(findings) + "\n")
