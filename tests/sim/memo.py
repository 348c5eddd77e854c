"""Remembers what is a pure function, so that n nodes in one process pay for one computation instead of n.

Nothing is faked: each of these is computed for real once. What a key of this process signed is known to verify; a
failure is never remembered, so it is computed every time. Decoded values are frozen, so nodes can share them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Final

import pytest

import protocol.blocks
import protocol.codec
import protocol.operations
import protocol.votes
from protocol.bls import BlsSigningKey, check_bls_signature
from protocol.codec import encode
from protocol.crypto import Domain, SigningKey, check_signature
from protocol.units import BlsSignature, Digest, Signature

MESSAGES_MAX: Final = 4_096
"""Decoded messages remembered at once: far more than are ever on their way to somebody."""


@contextmanager
def remember_signatures() -> Iterator[None]:
    """Remember signatures and decoded messages while the context is open."""
    verified: set[tuple[object, ...]] = set()
    sign, sign_bls = SigningKey.sign, BlsSigningKey.sign

    def sign_once(self: SigningKey, domain: Domain, chain_id: Digest, message: bytes) -> Signature:
        signature = sign(self, domain, chain_id, message)
        verified.add((self.member, domain, chain_id, message, signature))
        return signature

    @cache
    def sign_bls_once(self: BlsSigningKey, domain: Domain, chain_id: Digest, message: bytes) -> BlsSignature:
        signature = sign_bls(self, domain, chain_id, message)
        verified.add((self.public_key, domain, chain_id, message, signature))
        return signature

    def check(*signed: object) -> None:
        if signed not in verified:
            check_signature(*signed)  # type: ignore[arg-type]
            verified.add(signed)

    def check_bls(*signed: object) -> None:
        if signed not in verified:
            check_bls_signature(*signed)  # type: ignore[arg-type]
            verified.add(signed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SigningKey, "sign", sign_once)
        patch.setattr(BlsSigningKey, "sign", sign_bls_once)
        for module in (protocol.votes, protocol.blocks, protocol.operations):
            patch.setattr(module, "check_signature", check)
        patch.setattr(protocol.blocks, "check_bls_signature", check_bls)
        patch.setattr(protocol.codec, "_decode", lru_cache(MESSAGES_MAX)(protocol.codec._decode))
        for module in (protocol.votes, protocol.blocks, protocol.operations):
            patch.setattr(module, "encode", lru_cache(MESSAGES_MAX)(encode))
        yield
