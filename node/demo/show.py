"""Shows a demo to whoever started it, ends it at a signal, and gives the exit code."""

import json
import signal
import sys
from contextlib import ExitStack
from typing import Final

import trio
from rich.console import Console

from node.demo.findings import Findings, build_document
from node.demo.plan import DemoPlan
from node.demo.play import Play, Viewer
from node.demo.summary import format_summary
from node.demo.viewers import LiveViewer, PlainViewer
from node.failures import raise_cause

EXIT_PASSED: Final = 0
EXIT_FAILED_CHECK: Final = 1
EXIT_INTERRUPTED: Final = 130


def show_demo(plan: DemoPlan, *, as_json: bool) -> int:
    """Run a demo, show it, print its summary or document, and return the exit code.

    Raises:
        NodeError: It could not be set up, a daemon ended, or the rounds came to a stop.
    """
    with ExitStack() as stack:
        viewer: Viewer
        if sys.stdout.isatty() and not as_json:
            viewer = stack.enter_context(LiveViewer(Console()))
        else:
            viewer = PlainViewer(sys.stderr if as_json else sys.stdout)
        with raise_cause():
            findings = trio.run(_play_until_signal, plan, viewer)
    if findings is None:
        sys.stderr.write("interrupted; everything is stopped\n")
        return EXIT_INTERRUPTED
    if as_json:
        sys.stdout.write(json.dumps(build_document(findings), indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(format_summary(findings)) + "\n")
    for check in findings.checks:
        if not check.holds and as_json:
            sys.stderr.write(f"FAILED  {check.name}: {check.detail}\n")
    return EXIT_PASSED if findings.has_passed else EXIT_FAILED_CHECK


async def _play_until_signal(plan: DemoPlan, viewer: Viewer) -> Findings | None:
    findings: Findings | None = None
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def wait_signal() -> None:
                async for _ in signals:
                    nursery.cancel_scope.cancel()
                    return

            nursery.start_soon(wait_signal)
            findings = await Play(plan, viewer).run()
            nursery.cancel_scope.cancel()
    return findings
