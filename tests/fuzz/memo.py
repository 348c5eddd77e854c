"""Remembers the signatures that have verified: an input repeats most of those before it, and pays for its own only."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import protocol.blocks
import protocol.genesis
import protocol.operations
import protocol.votes
from protocol.bls import check_bls_signature, check_possession
from protocol.crypto import check_signature

REMEMBERED_MAX: Final = 1 << 14


def remember_signatures() -> None:
    """Remember successes in this process from now on; failures raise, so they are computed every time."""
    signature = _remember(check_signature)
    for module in (protocol.votes, protocol.blocks, protocol.operations):
        module.__dict__["check_signature"] = signature
    protocol.blocks.__dict__["check_bls_signature"] = _remember(check_bls_signature)
    protocol.genesis.__dict__["check_possession"] = _remember(check_possession)


def _remember(check: Callable[..., Any]) -> Callable[..., Any]:
    return lru_cache(maxsize=REMEMBERED_MAX)(check)
