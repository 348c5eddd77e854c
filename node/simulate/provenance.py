"""Which code computes a simulation's result: a digest by which results of other code are told.

It covers the sources that a run imports, found by following their imports, and the libraries that compute. What only
files results, draws or reports them is not among them.
"""

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from node.tasks.loading import find_reference

ROOT: Final = Path(__file__).parents[2]
_PACKAGES: Final = ("protocol", "node")
_FOLDERS: Final = ("protocol", "node/attacks", "node/tasks", "node/worker")
"""All of what is in them may be loaded by name."""
_LIBRARIES: Final = ("torch", "numpy", "scikit-learn")


def compute_code_digest(task: str, *, root: Path = ROOT) -> str:
    """Return a digest of everything that computes the result of a run with a task, in hex.

    Args:
        task: Its name or ``module:Class``; its own module counts as well, wherever that is.
        root: Where the packages are.
    """
    digest = hashlib.sha256(_digest_code(root))
    module, colon, _ = find_reference(task).partition(":")
    source = _find_source(module) if colon else None
    if source is not None:
        digest.update(source.read_bytes())
    return digest.hexdigest()


@cache
def _digest_code(root: Path) -> bytes:
    digest = hashlib.sha256()
    for path in find_sources(root):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    for library in _LIBRARIES:
        digest.update(f"{library} {_get_version(library)}\n".encode())
    return digest.digest()


def find_sources(root: Path) -> list[Path]:
    """Return the files of our own that a run consists of, sorted."""
    waiting = [*_find_module(root, "node.simulate.run")]
    for folder in _FOLDERS:
        waiting += (root / folder).rglob("*.py")
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += (source for name in _iterate_imports(path) for source in _find_module(root, name))
    return sorted(found)


def _iterate_imports(path: Path) -> Iterator[str]:
    """Yield what a file may import from our packages; names that turn out to be no modules are among it."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _find_module(root: Path, name: str) -> list[Path]:
    parts = name.split(".")
    if parts[0] not in _PACKAGES:
        return []
    place = root.joinpath(*parts)
    return [path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()]


def _find_source(module: str) -> Path | None:
    """Return the file of a task's module; that there is none, the run itself will tell."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin is not None and spec.has_location else None


def _get_version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "none"
