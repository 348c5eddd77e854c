"""`make e2e-compose`: docker-compose.yml against a real Docker engine, from the first build to ledgers that agree.

    python -m tests.compose [--keep DIR]

Brings an engine where none answers (engine.sh), builds the image, starts the five nodes, kills one container, cuts
another off, brings both back, stops everything and starts it again. Ends with 0 only if all of it held, and leaves
nothing running; ``--keep`` leaves the engine and its images in a folder for the next run.
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.compose.project import Project, run
from tests.compose.scenario import play

HERE = Path(__file__).resolve().parent
ENGINE = HERE / "engine.sh"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="folder for the engine, which is left running")
    arguments = parser.parse_args()
    with open_engine(arguments.keep) as (environment, folder):
        compose = shlex.split(environment["COMPOSE"])
        project = Project(compose=compose, environment=environment, folder=folder)
        try:
            play(project)
        except AssertionError as error:
            print(f"FAILED: {error}", file=sys.stderr)
            print(project.read_logs(), file=sys.stderr)
            return 1
        finally:
            project.compose_down(with_volumes=True)
    print("e2e-compose: all of it held; measured:", *project.measured, sep="\n  ")
    return 0


@contextmanager
def open_engine(keep: Path | None) -> Iterator[tuple[dict[str, str], Path]]:
    """Give the environment in which `docker` answers, and a folder for scraps."""
    with tempfile.TemporaryDirectory(prefix="pnyx-compose-", ignore_cleanup_errors=True) as scraps:
        folder = Path(scraps) if keep is None else keep
        try:
            started = run([str(ENGINE), "start", str(folder)], environment=os.environ, timeout_s=1_200)
            yield {**os.environ, **read_exports(started)}, Path(scraps)
        finally:
            if keep is None:
                subprocess.run([str(ENGINE), "stop", str(folder)], check=True)


def read_exports(text: str) -> Mapping[str, str]:
    """Return what a shell would export."""
    words = [word for line in text.splitlines() for word in shlex.split(line) if word != "export"]
    return dict(word.split("=", 1) for word in words)


if __name__ == "__main__":
    sys.exit(main())
