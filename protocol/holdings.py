"""Which artifacts this node holds, and which of those that manifests name it has asked for (F3).

A manifest that the ledger refuses whatever it names is worth no download. So nothing is asked for but artifacts of the
size of the chain's updates, for proposers of the open round that have submitted nothing yet: a few for each before its
manifest is ordered, and then, for each block that wants a vote, one at a time. When the round is over nothing is looked
for any longer that the ledger does not name. Otherwise one member, or one leader with its friends, could name more
artifacts than there is room for, and never give any.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from protocol.blocks import Block
from protocol.errors import InvalidMessage
from protocol.interface import FetchArtifact
from protocol.learning.artifact_format import ModelSchema
from protocol.learning.manifest import check_manifest
from protocol.ledger.extensions import list_standbys
from protocol.ledger.state import LedgerState
from protocol.operations import Operation, SubmitUpdate, decode_operation
from protocol.outcomes import Phase
from protocol.parameters import Parameters
from protocol.units import Digest, MemberId

AHEAD_PER_MEMBER_MAX: Final = 2
"""Updates of one member that are fetched before they are ordered, in one round; an honest one has one."""


class Holdings:
    """The artifacts on this node's disk, and the requests for others."""

    def __init__(self, parameters: Parameters, schema: ModelSchema, held: frozenset[Digest]) -> None:
        """Start with what the disk holds, and nothing asked for."""
        self._parameters = parameters
        self._schema = schema
        self.digests = set(held)
        """The complete artifacts on disk."""
        self._asked: set[Digest] = set()
        self._ahead: Counter[MemberId] = Counter()
        """How many of each member's were asked for before they were ordered."""

    def is_ready(self, manifest: SubmitUpdate, state: LedgerState) -> bool:
        """Return whether a manifest may be ordered: its artifact is on disk, or its round is over.

        One that comes too late is refused whatever it names, and must not keep what its member says next waiting.
        """
        current = state.next_round if state.round is None else state.round.round
        return manifest.artifact_digest in self.digests or manifest.round < current

    def find_missing(self, block: Block, state: LedgerState) -> tuple[Operation, ...]:
        """Return the operations of a block that name an artifact which may be needed and is not on disk.

        What the final state refuses whatever it names is refused after the blocks in between, too.
        """
        operations = (decode_operation(encoded) for encoded in block.operations)
        return tuple(operation for operation in operations if self._is_missing(operation, state))

    def fetch_missing(self, missing: tuple[Operation, ...], state: LedgerState) -> list[FetchArtifact]:
        """Return requests for what a block misses, of each proposer's the first only.

        A block of an honest leader holds nothing that is made up, so the next is asked for when the first has come. For
        a round that this node has not seen drawn nothing is asked for: its roles come with the blocks below.
        """
        first: dict[MemberId, Operation] = {}
        for operation in missing:
            if self._is_wanted(operation, state):
                first.setdefault(operation.content.member, operation)
        return [request for operation in first.values() for request in self.fetch(operation)]

    def fetch_ahead(self, operation: Operation, state: LedgerState) -> list[FetchArtifact]:
        """Return the request for an artifact that the open round may need, before its manifest is ordered."""
        member = operation.content.member
        if not self._is_wanted(operation, state) or self._ahead[member] >= AHEAD_PER_MEMBER_MAX:
            return []
        self._ahead[member] += 1
        return self.fetch(operation)

    def fetch(self, operation: Operation) -> list[FetchArtifact]:
        """Return the request for an operation's artifact, unless it was made before or the manifest is wrong."""
        manifest = operation.content.payload
        if not isinstance(manifest, SubmitUpdate) or manifest.artifact_digest in self._asked:
            return []
        try:
            check_manifest(self._parameters, self._schema, manifest)
        except InvalidMessage:
            return []
        self._asked.add(manifest.artifact_digest)
        return [
            FetchArtifact(
                digest=manifest.artifact_digest,
                bytes_expected=manifest.artifact_bytes,
                source=operation.content.member,
                scale_exponents=manifest.scale_exponents,
            )
        ]

    def forget_requests(self, named: Iterable[Digest]) -> set[Digest]:
        """Let everything be asked for again: a round is over.

        Args:
            named: The artifacts that the ledger names.

        Returns:
            What was asked for, is not here, and is not named: nobody needs it any more.
        """
        dropped = self._asked - self.digests - set(named)
        self._asked.clear()
        self._ahead.clear()
        return dropped

    def _is_wanted(self, operation: Operation, state: LedgerState) -> bool:
        current, payload = state.round, operation.content.payload
        if current is None or not isinstance(payload, SubmitUpdate) or payload.artifact_digest in self.digests:
            return False
        member = operation.content.member
        is_open = payload.round == current.round and current.phase is Phase.TRAIN and member in current.proposers
        return is_open and not self._is_refused(member, payload, state)

    def _is_missing(self, operation: Operation, state: LedgerState) -> bool:
        payload = operation.content.payload
        if not isinstance(payload, SubmitUpdate) or self.is_ready(payload, state):
            return False
        return not self._is_refused(operation.content.member, payload, state)

    def _is_refused(self, member: MemberId, manifest: SubmitUpdate, state: LedgerState) -> bool:
        """Return whether the ledger refuses a manifest in this state and in all that can follow, whatever it names."""
        current = state.round
        if current is None or manifest.round != current.round:
            return False
        try:
            check_manifest(self._parameters, self._schema, manifest)
        except InvalidMessage:
            return True
        is_over = current.phase not in {Phase.DRAW, Phase.TRAIN} or manifest.base_digest != current.base_digest
        if is_over or any(entry.member == member for entry in current.updates):
            return True
        # A standby may become a proposer yet (F13), and before the draw anybody may.
        possible = {entry.member for entry in current.eligible}
        if current.phase is Phase.TRAIN:
            possible = {*current.proposers, *list_standbys(self._parameters, current)}
        return member not in possible
