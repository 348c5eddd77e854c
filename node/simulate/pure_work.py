"""Does the same pure work once for all members of a simulation.

Nothing is left out: each of these functions is computed for real the first time. They depend on their arguments only,
so what one member finds another one would find, too; a failure is never remembered.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import ModuleType
from typing import Final

import protocol.admission
import protocol.blocks
import protocol.codec
import protocol.consensus.checks
import protocol.engine
import protocol.operations
import protocol.votes
from protocol.blocks import Block
from protocol.learning.artifact_format import ModelSchema
from protocol.ledger.state import LedgerState
from protocol.ledger.transition import apply_block
from protocol.outcomes import BlockOutcome
from protocol.parameters import Parameters
from protocol.units import Digest

_REMEMBERED_MAX: Final = 8_192
"""Results of each function: several rounds of a large network."""
_BLOCKS_MAX: Final = 16

_SHARED: Final[tuple[tuple[str, tuple[ModuleType, ...]], ...]] = (
    ("check_signature", (protocol.votes, protocol.blocks, protocol.operations)),
    ("check_bls_signature", (protocol.blocks,)),
    ("check_certificate", (protocol.admission, protocol.consensus.checks)),
    ("check_block_operations", (protocol.engine,)),
    ("encode", (protocol.votes, protocol.blocks, protocol.operations)),
    ("_decode", (protocol.codec,)),
)
"""Functions by the modules that call them."""


@contextmanager
def share_pure_work() -> Iterator[None]:
    """Let members share results while the context is open."""
    originals = [(module, name, getattr(module, name)) for name, modules in _SHARED for module in modules]
    originals.append((protocol.engine, "apply_block", apply_block))
    try:
        for name, modules in _SHARED:
            shared = lru_cache(_REMEMBERED_MAX)(getattr(modules[0], name))
            for module in modules:
                setattr(module, name, shared)
        setattr(protocol.engine, originals[-1][1], _share_blocks())
        yield
    finally:
        for module, name, original in originals:
            setattr(module, name, original)


def _share_blocks() -> Callable[[Parameters, ModelSchema, LedgerState, Block], tuple[LedgerState, BlockOutcome]]:
    """Return :func:`apply_block` with a memory; a state is known by the hash of its block, which names all before."""
    known: dict[tuple[Digest, Block], tuple[LedgerState, BlockOutcome]] = {}

    def apply_once(
        parameters: Parameters, schema: ModelSchema, state: LedgerState, block: Block
    ) -> tuple[LedgerState, BlockOutcome]:
        key = (state.block_hash, block)
        if key not in known:
            known[key] = apply_block(parameters, schema, state, block)
            while len(known) > _BLOCKS_MAX:
                del known[next(iter(known))]
        return known[key]

    return apply_once
