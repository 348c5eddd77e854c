"""Runs every benchmark that has a target, one after the other: ``python -m bench``.

``bench.aggregation``, ``bench.beacon``, ``bench.draws``, ``bench.score_choice``, ``bench.screening_cost`` and
``bench.worker_cost`` answer questions of design and are run by hand. So is ``bench.candidate_bits``, which compares
another machine's candidates with the pinned ones.
"""

import subprocess
import sys
from typing import Final

BENCHMARKS: Final = ("bench.startup", "bench.rounds", "bench.gossip", "bench.catchup")


def main() -> int:
    """Return the number of benchmarks that failed."""
    failed_count = 0
    for name in BENCHMARKS:
        print(f"== {name}", flush=True)
        finished = subprocess.run([sys.executable, "-m", name], check=False)
        failed_count += finished.returncode != 0
    return failed_count


if __name__ == "__main__":
    sys.exit(main())
