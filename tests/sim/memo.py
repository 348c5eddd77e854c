"""Remembers which signatures have verified, so that n nodes in one process pay for one verification instead of n.

Verification is a pure function: a success stays one. Failures are not remembered, so they are computed every time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest

import protocol.blocks
import protocol.operations
import protocol.votes
from protocol.bls import check_bls_signature
from protocol.crypto import check_signature


@contextmanager
def remember_signatures() -> Iterator[None]:
    """Remember successes while the context is open."""
    signature, bls_signature = cache(check_signature), cache(check_bls_signature)
    with pytest.MonkeyPatch.context() as patch:
        for module in (protocol.votes, protocol.blocks, protocol.operations):
            patch.setattr(module, "check_signature", signature)
        patch.setattr(protocol.blocks, "check_bls_signature", bls_signature)
        yield
