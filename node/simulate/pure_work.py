"""Does the same pure work once for all members of a simulation.

Nothing is left out: each of these functions is computed for real the first time. They depend on their arguments only,
so what one member finds another one would find, too; a failure is never remembered. What a member of this process has
signed is known to verify. In a network of 50 members this is nearly all of the work.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import ModuleType
from typing import Final, TypeAlias, TypeVar

import protocol.admission
import protocol.blocks
import protocol.bls.encryption
import protocol.codec
import protocol.consensus.checks
import protocol.consensus.machine
import protocol.engine
import protocol.operations
import protocol.succession
import protocol.votes
from protocol.blocks import Block
from protocol.bls import BlsSigningKey, check_bls_signature, compute_ephemeral_key
from protocol.crypto import Domain, SigningKey, check_signature
from protocol.learning.artifact_format import ModelSchema
from protocol.ledger.state import LedgerState, build_validator_set
from protocol.ledger.transition import apply_block
from protocol.outcomes import BlockOutcome
from protocol.parameters import Parameters
from protocol.units import (
    BlsPublicKey,
    BlsScalar,
    BlsSignature,
    Digest,
    Epoch,
    MemberId,
    SharedPoint,
    Signature,
    Weight,
)
from protocol.validators import ValidatorSet
from protocol.votes import Certificate, Vote, check_certificate, split_certificate

_REMEMBERED_MAX: Final = 8_192
"""Results of each function: several rounds of a large network."""
_BLOCKS_MAX: Final = 16

_Key = TypeVar("_Key")
_Result = TypeVar("_Result")
_Signer = TypeVar("_Signer", bound=bytes)
_Signature = TypeVar("_Signature", bound=bytes)
_Signed: TypeAlias = tuple[bytes, Domain, Digest, bytes, bytes]
"""Signer, domain, chain, message and signature."""

_SHARED: Final[tuple[tuple[str, tuple[ModuleType, ...]], ...]] = (
    ("check_block_operations", (protocol.engine,)),
    ("encode", (protocol.votes, protocol.blocks, protocol.operations)),
    ("_decode", (protocol.codec,)),
    ("decode_public_key", (protocol.bls.encryption,)),
)
"""Functions whose arguments are small, by the modules that call them."""


@contextmanager
def share_pure_work() -> Iterator[None]:
    """Let members share results while the context is open."""
    replaced: list[tuple[object, str, object]] = []

    def put(place: object, name: str, function: object) -> None:
        replaced.append((place, name, getattr(place, name)))
        setattr(place, name, function)

    try:
        for name, modules in _SHARED:
            shared = lru_cache(_REMEMBERED_MAX)(getattr(modules[0], name))
            for module in modules:
                put(module, name, shared)
        verified: dict[_Signed, None] = {}
        put(SigningKey, "sign", _remember_signing(verified, SigningKey.sign))
        put(BlsSigningKey, "sign", _remember_bls_signing(verified, BlsSigningKey.sign))
        for module in (protocol.votes, protocol.blocks, protocol.operations):
            put(module, "check_signature", _share_verifying(verified, check_signature))
        put(protocol.blocks, "check_bls_signature", _share_verifying(verified, check_bls_signature))
        compute_dealt, compute_received = _share_shared_points()
        put(protocol.bls.encryption, "compute_dealt_point", compute_dealt)
        put(BlsSigningKey, "compute_shared_point", compute_received)
        put(protocol.engine, "apply_block", _share_blocks())
        put(protocol.succession, "build_validator_set", _share_validators())
        put(protocol.consensus.machine, "split_certificate", _share_splitting())
        put(ValidatorSet, "compute_weight", _share_weights())
        checking = _share_checking()
        for module in (protocol.admission, protocol.consensus.checks):
            put(module, "check_certificate", checking)
        yield
    finally:
        for place, name, original in reversed(replaced):
            setattr(place, name, original)


def _remember_signing(
    verified: dict[_Signed, None], sign: Callable[[SigningKey, Domain, Digest, bytes], Signature]
) -> Callable[[SigningKey, Domain, Digest, bytes], Signature]:
    def sign_and_remember(key: SigningKey, domain: Domain, chain_id: Digest, message: bytes) -> Signature:
        signature = sign(key, domain, chain_id, message)
        _remember_signed(verified, (key.member, domain, chain_id, message, signature))
        return signature

    return sign_and_remember


def _remember_bls_signing(
    verified: dict[_Signed, None], sign: Callable[[BlsSigningKey, Domain, Digest, bytes], BlsSignature]
) -> Callable[[BlsSigningKey, Domain, Digest, bytes], BlsSignature]:
    def sign_and_remember(key: BlsSigningKey, domain: Domain, chain_id: Digest, message: bytes) -> BlsSignature:
        signature = sign(key, domain, chain_id, message)
        _remember_signed(verified, (key.public_key, domain, chain_id, message, signature))
        return signature

    return sign_and_remember


def _share_verifying(
    verified: dict[_Signed, None], check: Callable[[_Signer, Domain, Digest, bytes, _Signature], None]
) -> Callable[[_Signer, Domain, Digest, bytes, _Signature], None]:
    """Return a check with a memory of what held, by the signer's key."""

    def check_once(signer: _Signer, domain: Domain, chain_id: Digest, message: bytes, signature: _Signature) -> None:
        key = (signer, domain, chain_id, message, signature)
        if key not in verified:
            check(signer, domain, chain_id, message, signature)
            _remember_signed(verified, key)

    return check_once


def _share_shared_points() -> tuple[
    Callable[[BlsScalar, BlsPublicKey], SharedPoint], Callable[[BlsSigningKey, BlsPublicKey], SharedPoint]
]:
    """Return both ways to the point that a dealer and a recipient have in common, with one memory for both.

    The dealer's secret times the recipient's key is the recipient's secret times the dealer's key; so a point is known
    by the ephemeral key and the recipient's.
    """
    known: dict[tuple[BlsPublicKey, BlsPublicKey], SharedPoint] = {}
    dealt, received = protocol.bls.encryption.compute_dealt_point, BlsSigningKey.compute_shared_point
    get_public = lru_cache(_BLOCKS_MAX)(compute_ephemeral_key)

    def compute_dealt(ephemeral_secret: BlsScalar, recipient: BlsPublicKey) -> SharedPoint:
        point = dealt(ephemeral_secret, recipient)
        _remember(known, (get_public(ephemeral_secret), recipient), point, _REMEMBERED_MAX)
        return point

    def compute_received(key: BlsSigningKey, ephemeral_key: BlsPublicKey) -> SharedPoint:
        place = (ephemeral_key, key.public_key)
        if place not in known:
            _remember(known, place, received(key, ephemeral_key), _REMEMBERED_MAX)
        return known[place]

    return compute_dealt, compute_received


def _share_blocks() -> Callable[[Parameters, ModelSchema, LedgerState, Block], tuple[LedgerState, BlockOutcome]]:
    """Return :func:`apply_block` with a memory; a state is known by the hash of its block, which names all before."""
    known: dict[tuple[Digest, Block], tuple[LedgerState, BlockOutcome]] = {}

    def apply_once(
        parameters: Parameters, schema: ModelSchema, state: LedgerState, block: Block
    ) -> tuple[LedgerState, BlockOutcome]:
        key = (state.block_hash, block)
        if key not in known:
            _remember(known, key, apply_block(parameters, schema, state, block), _BLOCKS_MAX)
        return known[key]

    return apply_once


def _share_validators() -> Callable[[LedgerState], ValidatorSet]:
    known: dict[Digest, ValidatorSet] = {}

    def build_once(state: LedgerState) -> ValidatorSet:
        if state.block_hash not in known:
            _remember(known, state.block_hash, build_validator_set(state), _BLOCKS_MAX)
        return known[state.block_hash]

    return build_once


def _share_weights() -> Callable[[ValidatorSet, Iterable[MemberId]], Weight]:
    """Return ``compute_weight`` with a memory; within one chain a set is known by its epoch and seed, as below."""
    known: dict[tuple[Epoch, Digest, tuple[MemberId, ...]], Weight] = {}
    compute_weight = ValidatorSet.compute_weight

    def compute_once(validators: ValidatorSet, members: Iterable[MemberId]) -> Weight:
        key = (validators.epoch, validators.seed, tuple(members))
        if key not in known:
            _remember(known, key, compute_weight(validators, key[2]), _REMEMBERED_MAX)
        return known[key]

    return compute_once


def _share_splitting() -> Callable[[ValidatorSet, Certificate], tuple[Vote, ...]]:
    known: dict[tuple[Epoch, Digest, Certificate], tuple[Vote, ...]] = {}

    def split_once(validators: ValidatorSet, certificate: Certificate) -> tuple[Vote, ...]:
        key = (validators.epoch, validators.seed, certificate)
        if key not in known:
            _remember(known, key, split_certificate(validators, certificate), _REMEMBERED_MAX)
        return known[key]

    return split_once


def _share_checking() -> Callable[[Digest, ValidatorSet, Certificate], None]:
    known: dict[tuple[Digest, Epoch, Digest, Certificate], None] = {}

    def check_once(chain_id: Digest, validators: ValidatorSet, certificate: Certificate) -> None:
        key = (chain_id, validators.epoch, validators.seed, certificate)
        if key not in known:
            check_certificate(chain_id, validators, certificate)
            _remember(known, key, None, _REMEMBERED_MAX)

    return check_once


def _remember_signed(verified: dict[_Signed, None], signed: _Signed) -> None:
    _remember(verified, signed, None, _REMEMBERED_MAX)


def _remember(known: dict[_Key, _Result], key: _Key, result: _Result, entries_max: int) -> None:
    """Keep a result, and forget the oldest one if there are too many."""
    known[key] = result
    if len(known) > entries_max:
        del known[next(iter(known))]
