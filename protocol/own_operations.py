"""This node's operations: numbered, signed, durable, and sent again until they are executed (L8, C9)."""

from collections.abc import Iterable

from protocol.codec import encode
from protocol.crypto import SigningKey
from protocol.gossip import Topic
from protocol.interface import Broadcast, Effect, Persist
from protocol.journal import OwnOperationRecord, Record
from protocol.ledger.state import LedgerState, get_account
from protocol.mempool import Mempool
from protocol.messages import OperationMessage
from protocol.operations import Payload, decode_operation, sign_operation
from protocol.parameters import Parameters
from protocol.units import Digest, Millis


class OwnOperations:
    """What this node has asked the ledger to do and has not seen executed."""

    def __init__(
        self, chain_id: Digest, key: SigningKey, mempool: Mempool, parameters: Parameters, started_ms: Millis
    ) -> None:
        """Start with nothing pending; re-sends are counted from the start time (W4)."""
        self._chain_id = chain_id
        self._key = key
        self._mempool = mempool
        self._interval_ms = parameters.timeout_view_ms
        self._attempt = int(started_ms)
        self.resend_ms: Millis | None = None
        """When pending operations are sent again; None if there are none."""

    def restore(self, records: Iterable[Record], state: LedgerState) -> None:
        """Take back what the journal kept and the ledger has not executed."""
        for record in records:
            if not isinstance(record, OwnOperationRecord):
                continue
            operation = decode_operation(record.operation)
            if operation.content.sequence >= get_account(state, operation.content.member).next_sequence:
                self._mempool.replace_own(record.operation, operation)
                self.resend_ms = Millis(0)

    def submit(self, payload: Payload, state: LedgerState, now_ms: Millis) -> list[Effect]:
        """Number, sign and send an operation, durably before it leaves."""
        sequence = self._mempool.compute_next_sequence(self._key.member, state)
        operation = sign_operation(self._chain_id, self._key, sequence, payload)
        encoded = encode(operation)
        self._mempool.replace_own(encoded, operation)
        if self.resend_ms is None:
            self.resend_ms = Millis(now_ms + self._interval_ms)
        return [Persist(record=OwnOperationRecord(operation=encoded)), self._build_broadcast(encoded)]

    def resend(self, now_ms: Millis) -> list[Effect]:
        """Return what to send again now: gossip may have lost it (C9)."""
        pending = self._mempool.get_encoded(self._key.member)
        if not pending:
            self.resend_ms = None
            return []
        if self.resend_ms is None or not now_ms < self.resend_ms <= now_ms + self._interval_ms:
            # Also if the clock was put back since: it must not keep operations waiting.
            is_due = self.resend_ms is not None
            self.resend_ms = Millis(now_ms + self._interval_ms)
            if is_due:
                self._attempt += 1
                return [self._build_broadcast(encoded) for encoded in pending]
        return []

    def _build_broadcast(self, encoded: bytes) -> Broadcast:
        message = OperationMessage(operation=encoded, attempt=self._attempt)
        return Broadcast(topic=Topic.OPERATIONS, message=encode(message))
