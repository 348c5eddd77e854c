"""Small chains for the audit's tests, built once, and ways to change what their exports say."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from io import BytesIO

import pytest

from protocol.audit import AuditFailure, AuditReport, verify_export
from protocol.blocks import Block, BlockHeader, sign_block
from protocol.export import ExportedBlock, write_export
from protocol.genesis import Genesis
from protocol.operations import Bond, ReportEvidence, Unbond
from protocol.outcomes import BlockOutcome, RoundRecord
from protocol.parameters import Parameters
from protocol.refusals import Refusal
from protocol.units import Stake, View
from tests.founders import make_founders
from tests.helpers import LedgerBuilder, make_ballot, make_equivocation

SETTLED = 4
"""The height at which the first round of :func:`build_chain` settles."""


@cache
def build_chain() -> LedgerBuilder:
    """Return a chain of four members with every verdict, a retrial, a refusal, a slash and a standby in it."""
    parameters = replace(Parameters(), treasury_initial=Stake(50_000_000))
    builder = LedgerBuilder(make_founders(4), parameters)
    builder.run_round()
    round_state = builder.run_to_sealing()
    builder.run_attempt(lambda _: make_ballot(round_state, is_accept=False, flags=(True, False), is_base_flagged=True))
    builder.run_voting(lambda _: make_ballot(builder.round, is_accept=False, flags=(False,), is_base_flagged=True))
    evidence = make_equivocation(builder.chain_id, builder.founders[3].signing_key, View(2))
    builder.add_payloads(
        (builder.founders[0].member, Unbond(amount=Stake(1_000_000))),
        (builder.founders[0].member, Bond(amount=Stake(2_000_000))),
        (builder.founders[1].member, ReportEvidence(evidence=evidence)),
    )
    builder.pass_deadlines()
    return builder


@cache
def build_tiny_chain() -> LedgerBuilder:
    """Return a chain of two members and two blocks, one of which carries an operation."""
    builder = LedgerBuilder(make_founders(2))
    builder.add_payloads((builder.founders[0].member, Unbond(amount=Stake(1))))
    builder.add_block()
    return builder


def write(genesis: Genesis, blocks: Sequence[ExportedBlock]) -> bytes:
    """Return the bytes of an export."""
    target = BytesIO()
    write_export(target, genesis, blocks)
    return target.getvalue()


def verify(encoded: bytes) -> AuditReport:
    """Audit the bytes of an export."""
    return verify_export(BytesIO(encoded))


def expect_failure(encoded: bytes) -> AuditFailure:
    """Return what the audit of a bad export says."""
    with pytest.raises(AuditFailure) as caught:
        verify(encoded)
    return caught.value


def rewrite(height: int, change: Callable[[ExportedBlock], ExportedBlock]) -> bytes:
    """Return the export of the chain with the block at one height changed."""
    builder = build_chain()
    blocks = list(builder.export())
    blocks[height - 1] = change(blocks[height - 1])
    return write(builder.genesis, blocks)


def rewrite_outcome(height: int, change: Callable[[BlockOutcome], BlockOutcome]) -> bytes:
    return rewrite(height, lambda exported: replace(exported, outcome=change(exported.outcome)))


def rewrite_record(change: Callable[[RoundRecord], RoundRecord]) -> bytes:
    def change_outcome(outcome: BlockOutcome) -> BlockOutcome:
        assert outcome.settled is not None
        return replace(outcome, settled=change(outcome.settled))

    return rewrite_outcome(SETTLED, change_outcome)


def resign(builder: LedgerBuilder, header: BlockHeader, operations: tuple[bytes, ...]) -> Block:
    """Return a block signed by the member that its header names."""
    return sign_block(builder.chain_id, builder.get_keys(header.leader).signing_key, header, operations)


def rewrite_header(height: int, change: Callable[[BlockHeader], BlockHeader]) -> bytes:
    """Return the export with one header changed and signed again: a forgery by its leader."""
    builder = build_chain()
    return rewrite(
        height,
        lambda exported: replace(
            exported, block=resign(builder, change(exported.block.header), exported.block.operations)
        ),
    )


def find_height_with_refusal() -> int:
    heights = enumerate(build_chain().blocks, start=1)
    return next(
        height
        for height, built in heights
        if any(result.refusal is not Refusal.NONE for result in built.outcome.results)
    )
