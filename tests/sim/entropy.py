"""The Entropy port for simulated nodes: bytes that are a function of a label and of what was drawn before."""

import hashlib
from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class SeededEntropy:
    """Implements the Entropy port."""

    label: str
    draws_count: int = 0

    def get_bytes(self, count: int) -> bytes:
        """See the port."""
        self.draws_count += 1
        return hashlib.shake_256(f"{self.label}-{self.draws_count}".encode()).digest(count)
