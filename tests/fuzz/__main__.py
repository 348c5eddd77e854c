"""Fuzzes every target for its share of the time, over all cores: ``make fuzz SECONDS=60``, or one input again.

Every search has a seed of its own, which it prints, unless one is given.

What each target has found reachable is kept in ``.fuzz/corpus`` for the next time, and inputs that fail are written to
``.fuzz/failures``. The exit code is 1 if any target failed.
"""

import argparse
import os
import secrets
import sys
from pathlib import Path
from typing import Final

from tests.fuzz.campaign import Outcome, run_campaign
from tests.fuzz.one import load
from tests.fuzz.regressions import iterate_regressions, save_regression
from tests.fuzz.table import TARGETS

ROOT: Final = Path(__file__).parents[2]
HOME: Final = ROOT / ".fuzz"
SECONDS: Final = 60
SEEDS: Final = 1 << 31
"""libFuzzer takes no more; 0 would be a seed of its own choice."""


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="fuzz every target, or repeat an input")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="how long, all targets together")
    parser.add_argument("--target", choices=sorted(TARGETS), help="only this one")
    jobs = os.cpu_count() or 1
    parser.add_argument("--jobs", type=int, default=jobs, help="processes at a time; all cores unless given")
    parser.add_argument("--seed", type=int, help="of all chance; a new one unless given")
    parser.add_argument("--input", type=Path, help="run the target on this file, within its bounds, and nothing else")
    parser.add_argument("--regressions", action="store_true", help="run the target on every input that once failed")
    parser.add_argument("--keep", metavar="NAME", help="with --input: keep the file among the regressions")
    given = parser.parse_args()
    if given.input is None and not given.regressions:
        names = [given.target] if given.target else list(TARGETS)
        seed = secrets.randbelow(SEEDS - 1) + 1 if given.seed is None else given.seed
        sys.exit(fuzz(names, seconds=given.seconds, jobs=given.jobs, seed=seed))
    if given.target is None:
        parser.error("--input and --regressions need --target")
    if given.keep is not None:
        print(f"kept as {save_regression(given.target, given.keep, given.input.read_bytes())}")
    elif given.input is not None:
        repeat(given.target, given.input.name, given.input.read_bytes())
    else:
        for regression in iterate_regressions():
            if regression.target == given.target:
                repeat(given.target, regression.what, regression.data)


def fuzz(names: list[str], *, seconds: int, jobs: int, seed: int) -> int:
    """Fuzz targets, print a line for each, and return the exit code."""
    print(f"fuzz: seed {seed}", flush=True)
    outcomes: list[Outcome] = []
    for outcome in run_campaign(names, home=HOME, seconds=seconds, jobs=jobs, seed=seed):
        print(outcome.describe(), flush=True)
        outcomes.append(outcome)
    executions = sum(outcome.executions for outcome in outcomes)
    failures = sum(outcome.failure is not None for outcome in outcomes)
    print(f"fuzz: {len(outcomes)} targets, {executions} executions, {failures} failures")
    return 1 if failures else 0


def repeat(name: str, what: str, data: bytes) -> None:
    """Run a target on one input; what is wrong ends the process with a traceback."""
    from tests.fuzz.bounds import Guard

    Guard(load(name)).run(data)
    print(f"{name}: {what} ({len(data)} bytes) holds")


if __name__ == "__main__":
    main()
