"""Fuzzes one target in this process: ``python -m tests.fuzz.one wire --runs 1000``.

With atheris the search is guided by coverage, which it sees because the code under test is instrumented while it is
imported. Where atheris has no wheel, or guidance is refused, the same mutators change the same seeds without it, and
one seed gives the same inputs on every machine. The last lines say how much was done; a failure is written to a file
and named with the command that repeats it.
"""

import argparse
import hashlib
import importlib.util
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fuzz.bounds import SAMPLED, Guard
from tests.fuzz.target import Target

FAILED_CODE: Final = 77
"""The exit code that libFuzzer has for an input that fails."""
INSTRUMENTED: Final = ("protocol", "node")
MEMORY_LIMIT_MIB: Final = 2_048
HANG_S: Final = 120
BUILT_IN_SHARE: Final = 0.3
"""How many mutations are left to libFuzzer's own mutators, which know what the code compares its inputs with."""
FRESH_SHARE: Final = 0.15
"""How many mutations begin with a true input again: libFuzzer drops those that reach nothing that others don't."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one process does."""

    name: str
    seconds: int
    """0 sets no limit."""
    runs: int
    """0 sets no limit."""
    seed: int
    corpus: Path
    """Where inputs that reach something new are kept."""
    failures: Path
    """Where inputs that fail are written."""


def has_atheris() -> bool:
    """Return whether the search can be guided."""
    return importlib.util.find_spec("atheris") is not None


def get_repeat_command(name: str, path: Path) -> str:
    """Return the command that runs one input again."""
    return f"python -m tests.fuzz --target {name} --input {path}"


def fuzz_guided(job: Job) -> None:
    """Let libFuzzer search; ends the process."""
    import atheris

    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        target = load(job.name)
    seeds = write_seeds(target, job.corpus)
    guard = make_guard(target)

    def change(data: bytes, bytes_max: int, seed: int) -> bytes:
        chance = random.Random(seed)
        draw = chance.random()
        if draw < BUILT_IN_SHARE:
            return bytes(atheris.Mutate(data, bytes_max))
        if draw < BUILT_IN_SHARE + FRESH_SHARE:
            data = chance.choice(seeds)
        return target.mutate(data, chance)[:bytes_max]

    limits = [f"-max_total_time={job.seconds}", f"-runs={job.runs}" if job.runs else "-runs=-1"]
    atheris.Setup(
        [
            sys.argv[0],
            *limits,
            f"-seed={job.seed}",
            f"-max_len={target.input_bytes_max}",
            "-len_control=0",
            f"-rss_limit_mb={MEMORY_LIMIT_MIB}",
            f"-timeout={HANG_S}",
            f"-artifact_prefix={job.failures}/{job.name}-",
            "-print_final_stats=1",
            str(job.corpus),
        ],
        guard.run,
        custom_mutator=change,
    )
    atheris.Fuzz()


def fuzz_blind(job: Job) -> None:
    """Change seeds at random, without guidance; an input that fails ends it with its error."""
    target = load(job.name)
    guard = make_guard(target)
    chance = random.Random(job.seed)
    seeds = target.seeds()
    end_s = time.monotonic() + job.seconds if job.seconds else float("inf")
    count = 0
    inputs = hashlib.sha256()
    begin_s = time.monotonic()
    while (not job.runs or count < job.runs) and time.monotonic() < end_s:
        data = seeds[count] if count < len(seeds) else _change_often(target, chance.choice(seeds), chance)
        count += 1
        inputs.update(hashlib.sha256(data).digest())
        is_good = False
        try:
            guard.run(data)
            is_good = True
        finally:
            if not is_good:
                path = job.failures / f"{job.name}-crash-{hashlib.sha256(data).hexdigest()[:40]}"
                path.write_bytes(data)
                print(f"Test unit written to {path}", flush=True)
    rate = int(count / max(time.monotonic() - begin_s, 0.001))
    print(f"stat::number_of_executed_units: {count}\nstat::average_exec_per_sec: {rate}")
    print(f"stat::inputs: {inputs.hexdigest()}")


def _change_often(target: Target, data: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.choice([1, 1, 2, 4])):
        data = target.mutate(data, chance)[: target.input_bytes_max]
    return data


def load(name: str) -> Target:
    """Return a target; the code under test is imported here and not before."""
    from tests.fuzz.table import load_target

    return load_target(name)


def make_guard(target: Target) -> Guard:
    """Return what runs a target within its bounds."""
    return Guard(target, sampled=SAMPLED)


def write_seeds(target: Target, corpus: Path) -> list[bytes]:
    """Put a target's first inputs where libFuzzer looks for them, and return them."""
    seeds = [seed for seed in target.seeds() if len(seed) <= target.input_bytes_max]
    for seed in seeds:
        (corpus / hashlib.sha256(seed).hexdigest()[:40]).write_bytes(seed)
    return seeds


def parse_job(arguments: Sequence[str] | None = None) -> tuple[Job, bool]:
    """Return what the command line asks for, and whether guidance is refused."""
    parser = argparse.ArgumentParser(description="fuzz one target in this process")
    parser.add_argument("name")
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--failures", type=Path, required=True)
    parser.add_argument("--blind", action="store_true", help="without guidance, as where atheris is not installed")
    given = parser.parse_args(arguments)
    job = Job(
        name=given.name,
        seconds=given.seconds,
        runs=given.runs,
        seed=given.seed,
        corpus=given.corpus,
        failures=given.failures,
    )
    return job, bool(given.blind)


def main() -> None:
    """Fuzz until the limits are reached or an input fails."""
    job, is_blind = parse_job()
    for folder in (job.corpus, job.failures):
        folder.mkdir(parents=True, exist_ok=True)
    if is_blind or not has_atheris():
        fuzz_blind(job)
    else:
        fuzz_guided(job)


if __name__ == "__main__":
    main()
