"""Complaints that are logged once in a while and not once per attempt, so that a stranger cannot fill a disk."""

from collections import OrderedDict
from typing import Final

import structlog
import trio

from protocol.units import Millis

_REMEMBERED_MAX: Final = 4_096

_log = structlog.get_logger(__name__)


class Complaints:
    """Logs each kind of complaint about each subject at most once per interval and counts the rest."""

    def __init__(self, *, interval_ms: Millis) -> None:
        self._interval_s = interval_ms / 1000
        self._seen: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def log(self, event: str, *, about: str, **details: object) -> None:
        """Log a warning unless the same event about the same subject was logged in the last interval.

        Args:
            event: What happened, a short past-tense fact.
            about: Whom it is about: a member, a peer id or an IP address.
            **details: Further keys for the log line.
        """
        key = (event, about)
        now = trio.current_time()
        logged_at, suppressed = self._seen.get(key, (float("-inf"), 0))
        if now - logged_at < self._interval_s:
            self._seen[key] = (logged_at, suppressed + 1)
            return
        self._seen[key] = (now, 0)
        self._seen.move_to_end(key)
        if len(self._seen) > _REMEMBERED_MAX:
            self._seen.popitem(last=False)
        _log.warning(event, about=about, repeated=suppressed, **details)
