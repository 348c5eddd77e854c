"""The gate for gossip: judged before it is forwarded, refused while the inbox is full, complained about once (W3).

What comes through fresh is also where this node learns what the others' clocks show.
"""

from collections.abc import Callable
from typing import Final

import structlog

from node.inbox import Inbox
from node.peer_clocks import PeerClocks
from node.ports import Clock
from node.timings import Activity, Timings
from protocol.admission import Admitted
from protocol.gossip import Admission, Topic
from protocol.interface import ConsensusReceived
from protocol.messages import Proposal
from protocol.units import MemberId, Millis

COMPLAINT_INTERVAL_MS: Final = Millis(60_000)

_log = structlog.get_logger(__name__)


class GossipGate:
    """Lets gossip into the inbox."""

    def __init__(
        self,
        *,
        judge: Callable[[Topic, bytes], Admitted],
        inbox: Inbox,
        clock: Clock,
        peer_clocks: PeerClocks,
        timings: Timings,
    ) -> None:
        """Take the core's judgement and where accepted messages go."""
        self._judge = judge
        self._inbox = inbox
        self._clock = clock
        self._peer_clocks = peer_clocks
        self._timings = timings
        self._complained_ms: dict[MemberId, Millis] = {}

    def admit(self, topic: Topic, neighbour: MemberId, message: bytes) -> Admission:
        """Judge one message; what is accepted is in the inbox when this returns."""
        if not self._inbox.has_room():
            # Judged first it would cost signatures, and for nothing.
            self._inbox.refused_count += 1
            return Admission.IGNORE
        with self._timings.measure(Activity.ADMISSION):
            admitted = self._judge(topic, message)
        if admitted.event is not None:
            self._inbox.offer_nowait(admitted.event)
            match admitted.event:
                case ConsensusReceived(message=Proposal(block=block)):
                    self._peer_clocks.note(block.header.leader, block.header.time_ms)
                case _:
                    pass
        elif admitted.admission is Admission.REJECT:
            self._complain(topic, neighbour, admitted.reason)
        return admitted.admission

    def _complain(self, topic: Topic, neighbour: MemberId, reason: str) -> None:
        now_ms = self._clock.get_now_ms()
        if now_ms - self._complained_ms.get(neighbour, Millis(0)) >= COMPLAINT_INTERVAL_MS:
            self._complained_ms[neighbour] = now_ms
            _log.warning("gossip_rejected", topic=topic.value, neighbour=neighbour, reason=reason)
