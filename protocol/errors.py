"""Errors by whose fault they are, because that decides the reaction.

A :class:`ProtocolError` is expected: somebody else's bytes or operation broke a rule. An
:class:`InvariantViolation` is our own mistake and stops the node (exit code 70).
"""

from protocol.refusals import Refusal
from protocol.units import Height


class ProtocolError(Exception):
    """Somebody else's message or operation broke a rule; never raised itself."""


class MalformedMessage(ProtocolError):
    """Bytes do not decode: reject them and lower the sender's score."""


class InvalidMessage(ProtocolError):
    """A message decodes but breaks a rule: reject it and lower the sender's score."""


class StaleMessage(ProtocolError):
    """A message was right once and is useless now: ignore it."""


class PrematureMessage(ProtocolError):
    """A message is beyond the window that is buffered: ignore it and count it."""


class InvalidOperation(ProtocolError):
    """The ledger refuses an operation: the refusal is recorded and the submitter told.

    Attributes:
        refusal: By which rule; all of the error that the ledger keeps.
    """

    def __init__(self, refusal: Refusal, detail: str = "") -> None:
        super().__init__(f"{refusal.name}: {detail}" if detail else refusal.name)
        self.refusal = refusal


class InvalidBlock(ProtocolError):
    """A block breaks a rule: do not vote for it and keep the state.

    Attributes:
        height: The block's height.
        reason: What is wrong, for people.
    """

    def __init__(self, height: Height, reason: str) -> None:
        super().__init__(f"block at height {height}: {reason}")
        self.height = height
        self.reason = reason


class InvariantViolation(Exception):
    """Our own bug: stop the node rather than go on with a wrong state."""
