"""CPU seconds that the command line takes before it does anything: ``python -m bench.startup``."""

import os
import subprocess
import sys
from typing import Final

RUN_COUNT: Final = 5
TARGET_HELP_S: Final = 0.3
COMMANDS: Final = (("--help",), ("--version",), ("status", "--home", "/nonexistent"), ("demo", "--help"))


def measure_cpu_s(command: tuple[str, ...]) -> float:
    """Return the CPU seconds of one run, the interpreter's own included; the best of several."""
    best = float("inf")
    for _ in range(RUN_COUNT):
        before = os.times()
        subprocess.run([sys.executable, "-m", "cli", *command], capture_output=True, check=False)
        after = os.times()
        taken = after.children_user - before.children_user + after.children_system - before.children_system
        best = min(best, taken)
    return best


def main() -> None:
    for command in COMMANDS:
        cpu_s = measure_cpu_s(command)
        verdict = ""
        if command == ("--help",):
            verdict = f"   target under {TARGET_HELP_S:g}: {'met' if cpu_s < TARGET_HELP_S else 'MISSED'}"
        print(f"{cpu_s:6.2f} CPU-s  pnyx {' '.join(command)}{verdict}")


if __name__ == "__main__":
    main()
