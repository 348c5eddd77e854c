"""Operations on their way into a block: bounded, ordered by member and sequence number (L8).

Holds operations whose signature has been checked; decides only which of them a leader may order next.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from protocol.blocks import Block
from protocol.errors import MalformedMessage
from protocol.ledger.state import LedgerState, get_account
from protocol.operations import Operation, Payload, SubmitUpdate, decode_operation
from protocol.parameters import Parameters
from protocol.units import MemberId, Sequence

PENDING_PER_MEMBER_MAX: Final = 64
"""Sequence numbers ahead of the ledger that are kept for one member."""


class Mempool:
    """Pending operations of every member."""

    def __init__(self) -> None:
        """Start empty."""
        self._pending: dict[MemberId, dict[Sequence, tuple[bytes, Operation]]] = {}

    def add(self, encoded: bytes, operation: Operation, state: LedgerState) -> bool:
        """Keep a member's operation; return whether it is new and within the window. The first of a number stays."""
        content = operation.content
        first = get_account(state, content.member).next_sequence
        if not first <= content.sequence < first + PENDING_PER_MEMBER_MAX:
            return False
        pending = self._pending.setdefault(content.member, {})
        if content.sequence in pending:
            return False
        pending[content.sequence] = (encoded, operation)
        return True

    def replace_own(self, encoded: bytes, operation: Operation) -> None:
        """Keep an operation of this node, whatever else is pending under its number."""
        self._pending.setdefault(operation.content.member, {})[operation.content.sequence] = (encoded, operation)

    def collect(
        self,
        state: LedgerState,
        branch: tuple[Block, ...],
        parameters: Parameters,
        is_ready: Callable[[SubmitUpdate], bool],
    ) -> tuple[bytes, ...]:
        """Return the operations to order on top of unfinalized blocks, within a block's limits.

        An update's manifest is left out until its artifact is held, since nobody could vote for the block (F3); what
        follows it in its member's sequence waits with it.
        """
        collected: list[bytes] = []
        size = 0
        for encoded in self._iterate(state, branch, is_ready):
            size += len(encoded) + 8
            if len(collected) >= parameters.block_operations_max or size > parameters.block_bytes_max:
                break
            collected.append(encoded)
        return tuple(collected)

    def has_any(self, state: LedgerState, branch: tuple[Block, ...], is_ready: Callable[[SubmitUpdate], bool]) -> bool:
        """Return whether :meth:`collect` would return anything."""
        return next(self._iterate(state, branch, is_ready), None) is not None

    def get_payloads(self, member: MemberId) -> tuple[Payload, ...]:
        """Return what a member has pending, by sequence number."""
        pending = self._pending.get(member, {})
        return tuple(pending[sequence][1].content.payload for sequence in sorted(pending))

    def get_encoded(self, member: MemberId) -> tuple[bytes, ...]:
        """Return a member's pending operations as they travel, by sequence number."""
        pending = self._pending.get(member, {})
        return tuple(pending[sequence][0] for sequence in sorted(pending))

    def compute_next_sequence(self, member: MemberId, state: LedgerState) -> Sequence:
        """Return the first sequence number that a member has not used yet, here or in the ledger."""
        sequence = get_account(state, member).next_sequence
        pending = self._pending.get(member, {})
        while sequence in pending:
            sequence = Sequence(sequence + 1)
        return sequence

    def prune(self, state: LedgerState) -> None:
        """Forget what the ledger has executed."""
        for member in sorted(self._pending):
            first = get_account(state, member).next_sequence
            kept = {sequence: entry for sequence, entry in self._pending[member].items() if sequence >= first}
            if kept:
                self._pending[member] = kept
            else:
                del self._pending[member]

    def _iterate(
        self, state: LedgerState, branch: tuple[Block, ...], is_ready: Callable[[SubmitUpdate], bool]
    ) -> Iterator[bytes]:
        """Yield what may be ordered, one operation per member and turn, so that nobody's many delay another's one."""
        if not self._pending:
            return
        ordered = _count_operations(branch)
        waiting = {
            member: Sequence(get_account(state, member).next_sequence + ordered[member])
            for member in sorted(self._pending)
        }
        while waiting:
            for member, sequence in tuple(waiting.items()):
                entry = self._pending[member].get(sequence)
                payload = None if entry is None else entry[1].content.payload
                if entry is None or (isinstance(payload, SubmitUpdate) and not is_ready(payload)):
                    del waiting[member]
                else:
                    yield entry[0]
                    waiting[member] = Sequence(sequence + 1)


def _count_operations(branch: tuple[Block, ...]) -> Counter[MemberId]:
    counts: Counter[MemberId] = Counter()
    for block in branch:
        for encoded in block.operations:
            try:
                counts[decode_operation(encoded).content.member] += 1
            except MalformedMessage:
                continue
    return counts
