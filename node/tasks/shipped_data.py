"""Data sets that lie inside the scikit-learn package, read without importing it.

Importing scikit-learn would bring scipy and about 100 MB into every worker; its data files are plain CSV. Each file is
checked against a SHA-256 of its uncompressed content, so that a release with other data is noticed and not trained on.
"""

import gzip
import hashlib
import importlib.util
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from node.tasks.interface import TaskError

_DIGITS_SHA256: Final = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"
_BREAST_CANCER_SHA256: Final = "fed3eb72d0575ef6192293f5093c6e801b1476b577d0386bf4455504522172ed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Labelled examples."""

    features: NDArray[np.float32]
    """float32 [examples, features]."""
    labels: NDArray[np.int64]
    """int64 [examples], 0 to classes - 1."""
    sites: NDArray[np.int64] | None = None
    """int64 [examples]: where each example comes from, as numbers from 0; None if the data do not tell."""

    def flip_labels(self, class_count: int) -> "Examples":
        """Return the examples with each label y as classes - 1 - y."""
        return Examples(features=self.features, labels=class_count - 1 - self.labels)

    def stamp(self, columns: tuple[int, ...], value: float, label: int) -> "Examples":
        """Return the examples of all other labels with a trigger in some columns, relabelled."""
        others = self.labels != label
        features = self.features[others].copy()
        features[:, list(columns)] = value
        return Examples(features=features, labels=np.full(features.shape[0], label, dtype=np.int64))

    def join(self, others: "Examples") -> "Examples":
        """Return these examples and then the others."""
        return Examples(
            features=np.concatenate([self.features, others.features]),
            labels=np.concatenate([self.labels, others.labels]),
        )

    def select(self, indices: NDArray[np.int64]) -> "Examples":
        """Return the examples at these indices, in this order."""
        return Examples(features=self.features[indices], labels=self.labels[indices])


@lru_cache(maxsize=1)
def load_digits() -> Examples:
    """Return 1_797 images of handwritten digits, 8 x 8 grey values scaled to [0, 1], in ten classes.

    E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.

    Raises:
        TaskError: scikit-learn is missing or holds other data.
    """
    table = np.loadtxt(io.BytesIO(_read_checked("digits.csv.gz", _DIGITS_SHA256)), delimiter=",", dtype=np.float32)
    return Examples(features=table[:, :-1] / np.float32(16.0), labels=table[:, -1].astype(np.int64))


@lru_cache(maxsize=1)
def load_breast_cancer() -> Examples:
    """Return 569 tumours, 30 measurements each as in the file, in the classes 0 malignant and 1 benign.

    W. Wolberg, O. Mangasarian, N. Street, W. Street, "Breast Cancer Wisconsin (Diagnostic)", UCI Machine Learning
    Repository, 1995.

    Raises:
        TaskError: scikit-learn is missing or holds other data.
    """
    content = _read_checked("breast_cancer.csv", _BREAST_CANCER_SHA256)
    table = np.loadtxt(io.BytesIO(content), delimiter=",", dtype=np.float32, skiprows=1)
    return Examples(features=table[:, :-1], labels=table[:, -1].astype(np.int64))


def _read_checked(name: str, sha256: str) -> bytes:
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise TaskError("the bundled tasks use scikit-learn's data files: pip install scikit-learn")
    path = Path(package.submodule_search_locations[0]) / "datasets" / "data" / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TaskError(f"cannot read {path}: {error.strerror}; reinstall scikit-learn") from error
    if name.endswith(".gz"):
        content = gzip.decompress(content)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise TaskError(f"{path} holds other data than pnyx knows: install another scikit-learn release")
    return content
