"""A voter that copies: it publishes another voter's seal as its own, and that voter's opened ballot when it comes.

Since a seal binds its voter, the ledger refuses the copied opening, and the copier counts as silent (F8, F14).
"""

from protocol.interface import OperationRequested
from protocol.ledger.state import LedgerState
from protocol.operations import RevealBallot, SealBallot, decode_operation
from protocol.units import MemberId, Round


class VoteCopier:
    """One member's copying."""

    def __init__(self, member: MemberId) -> None:
        """Copy nothing yet."""
        self._member = member
        self._sealed: tuple[Round, int] | None = None
        self._source: MemberId | None = None
        self._revealed: tuple[Round, int] | None = None

    def copy(self, encoded: bytes, state: LedgerState) -> OperationRequested | None:
        """Return what to ask the own node for, having heard another member's operation."""
        operation = decode_operation(encoded)
        payload, author = operation.content.payload, operation.content.member
        current = state.round
        if current is None or self._member not in current.voters:
            return None
        match payload:
            case SealBallot(round=round_number, attempt=attempt) if (round_number, attempt) != self._sealed:
                self._sealed, self._source = (round_number, attempt), author
                return OperationRequested(payload=payload)
            case RevealBallot(round=round_number, attempt=attempt) if (
                author == self._source and (round_number, attempt) == self._sealed != self._revealed
            ):
                self._revealed = (round_number, attempt)
                return OperationRequested(payload=payload)
            case _:
                return None
