"""Copies of the program for mutants to live in: the working tree itself is never touched.

A mutant runs in processes whose working directory is such a copy, so that it finds every module there: the program, the
simulator and the tests. Compiled code goes into the first copy once and is copied with the rest. It is valid by the
digest of its source and not by a time, so that a changed line is always compiled anew.
"""

import compileall
import shutil
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Final

from tests.mutants.mutant import Mutant, mutate_file

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDERS: Final = ("protocol", "node", "tests")
FILES: Final = ("cli.py", "pyproject.toml")


def build_control(folder: Path) -> None:
    """Copy the program as it is, and compile the copy."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy2(ROOT / name, folder / name)
    for name in FOLDERS:
        compileall.compile_dir(folder / name, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)


def build_mutant(control: Path, folder: Path, mutant: Mutant) -> None:
    """Copy the control and change one line.

    Raises:
        MutantDoesNotFit: The line is not there exactly once.
    """
    shutil.copytree(control, folder)
    mutate_file(folder, mutant)
