"""Operations that the operator asks for: handed to the core and followed until the ledger has judged them (L8)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

from node.inbox import Inbox
from node.refusals import SENTENCES
from protocol.interface import OperationRequested
from protocol.observations import BlockExecuted
from protocol.operations import Payload, compute_operation_id, decode_operation
from protocol.refusals import Refusal
from protocol.units import Digest, Height

TellSigned = Callable[[Digest], Awaitable[None]]
"""Takes the operation's id once the operation is signed and durable: from then on it is sent until it is executed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the ledger made of an operation."""

    operation_id: Digest
    height: Height
    refusal: Refusal

    @property
    def error(self) -> str:
        """What is wrong and what to do, for people; empty if it was executed."""
        return SENTENCES[self.refusal]


@dataclass(slots=True)
class _Submission:
    payload: Payload
    operation_id: Digest | None = None
    """None until the core has signed it."""
    judged: Judged | None = None
    signed: trio.Event = field(default_factory=trio.Event)
    done: trio.Event = field(default_factory=trio.Event)


class Submissions:
    """Everything that an operator waits for."""

    def __init__(self, inbox: Inbox) -> None:
        """Take the way to the core."""
        self._inbox = inbox
        self._waiting: list[_Submission] = []

    async def submit(self, payload: Payload, tell_signed: TellSigned) -> Judged:
        """Ask for an operation and return what became of it, once that is final.

        Whoever stops to wait loses the answer only: what was asked for is done all the same.
        """
        submission = _Submission(payload)
        self._waiting.append(submission)
        try:
            await self._inbox.put(OperationRequested(payload=payload))
            await submission.signed.wait()
            assert submission.operation_id is not None
            await tell_signed(submission.operation_id)
            await submission.done.wait()
        finally:
            self._waiting.remove(submission)
        assert submission.judged is not None
        return submission.judged

    def note_signed(self, operation: bytes) -> None:
        """Take an operation of this node that was just made durable; it answers the oldest request for the same."""
        if not self._waiting:
            return
        payload = decode_operation(operation).content.payload
        for submission in self._waiting:
            if submission.operation_id is None and submission.payload == payload:
                submission.operation_id = compute_operation_id(operation)
                submission.signed.set()
                return

    def note_executed(self, executed: BlockExecuted) -> None:
        """Take what a final block did."""
        results = {result.operation_id: result.refusal for result in executed.outcome.results}
        for submission in self._waiting:
            identifier = submission.operation_id
            if identifier is not None and identifier in results:
                refusal = results[identifier]
                submission.judged = Judged(operation_id=identifier, height=executed.height, refusal=refusal)
                submission.done.set()
