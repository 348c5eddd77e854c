"""``python -m tests.mutants``: hunt all mutants, or those that are named; ``--list`` shows the catalogue."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.campaign import Outcome, Verdict, check_control, hunt_all, open_ground
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant
from tests.mutants.report import format_catalogue, format_end, format_markdown, format_outcome, format_outcomes


def main() -> None:
    """Hunt, and end with 1 unless every mutant was caught and nothing was noticed without one."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="hunt the mutants of the core")
    parser.add_argument("names", nargs="*", metavar="MUTANT", help="all of them by default")
    parser.add_argument("--list", action="store_true", help="show the mutants and who hunts each, and hunt none")
    parser.add_argument("--page", type=Path, help="write the table of what caught what into this file, as Markdown")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time")
    arguments = parser.parse_args()
    mutants = choose_mutants(arguments.names)
    if arguments.list:
        say(format_catalogue(mutants))
    else:
        outcomes = hunt(mutants, arguments.jobs)
        if arguments.page is not None:
            arguments.page.write_text(format_markdown(outcomes) + "\n", encoding="utf-8")
        say(format_end(outcomes))
        sys.exit(any(outcome.verdict is not Verdict.CAUGHT for outcome in outcomes))


def choose_mutants(names: Sequence[str]) -> tuple[Mutant, ...]:
    """Return the mutants of these names, or all, in the catalogue's order."""
    unknown = set(names) - {mutant.name for mutant in MUTANTS}
    if unknown:
        sys.exit(f"no such mutant: {', '.join(sorted(unknown))}")
    return tuple(mutant for mutant in MUTANTS if not names or mutant.name in names)


def hunt(mutants: Sequence[Mutant], jobs: int) -> list[Outcome]:
    """Check the hunters with the program as it is, hunt, and show what came of it."""
    begin_s = time.perf_counter()
    with open_ground() as ground:
        complaints = check_control(ground, mutants, jobs)
        if complaints:
            sys.exit("\n".join(complaints))
        say(f"without a mutant nobody notices anything: {time.perf_counter() - begin_s:.0f} s")
        outcomes = hunt_all(ground, mutants, jobs, lambda outcome: say(format_outcome(outcome)))
    say("")
    say(format_outcomes(outcomes))
    say(f"{time.perf_counter() - begin_s:.0f} s with {jobs} at a time")
    return outcomes


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
