"""The gate for gossip: judged before it is forwarded, refused while the inbox is full, complained about once (W3).

What comes through fresh is also where this node learns what the others' clocks show.
"""

from collections.abc import Callable
from typing import Final

import structlog
import trio

from node.inbox import Inbox
from node.peer_clocks import PeerClocks
from node.ports import Clock
from node.timings import Activity, Timings
from protocol.admission import Admitted
from protocol.blocks import BlockHeader
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
        drift_max_ms: Millis,
        timings: Timings,
    ) -> None:
        """Take the core's judgement, where accepted messages go, and how far off a clock the network bears (C8)."""
        self._judge = judge
        self._inbox = inbox
        self._clock = clock
        self._peer_clocks = peer_clocks
        self._drift_max_ms = drift_max_ms
        self._timings = timings
        self._complained_ms: dict[MemberId, Millis] = {}
        self._clock_told_at = float("-inf")

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
                    self._note_time(block.header)
                case _:
                    pass
        elif admitted.admission is Admission.REJECT:
            self._complain(topic, neighbour, admitted.reason)
        return admitted.admission

    def _note_time(self, header: BlockHeader) -> None:
        self._peer_clocks.note(header.leader, header.time_ms)
        now, now_ms = trio.current_time(), self._clock.get_now_ms()
        reading = self._peer_clocks.read(now_ms)
        # By a clock that nobody sets, since somebody may just be putting the other one right.
        if reading.is_off(self._drift_max_ms) and now - self._clock_told_at >= COMPLAINT_INTERVAL_MS / 1_000:
            self._clock_told_at = now
            # No error: after cuts, one after the other, what comes late looks the same for a moment.
            _log.warning(
                "clock_differs", behind_ms=reading.behind_ms, ahead_ms=reading.ahead_ms, heard=reading.member_count
            )

    def _complain(self, topic: Topic, neighbour: MemberId, reason: str) -> None:
        now_ms = self._clock.get_now_ms()
        if now_ms - self._complained_ms.get(neighbour, Millis(0)) >= COMPLAINT_INTERVAL_MS:
            self._complained_ms[neighbour] = now_ms
            _log.warning("gossip_rejected", topic=topic.value, neighbour=neighbour, reason=reason)
