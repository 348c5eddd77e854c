"""Carries votes: collects them and delivers certificates, as a relay in the middle of a network would.

Every vote is cast, signed and counted by the code that nodes use; what is saved is that everybody checks everybody's
vote by itself, which for N members takes N * N messages for each block and certificate. An engine cannot tell whether a
certificate was made by itself or came from another (C16).
"""

from collections.abc import Callable

from protocol.consensus.tally import Counted, Tally
from protocol.ledger.state import LedgerState, build_validator_set
from protocol.messages import Votes
from protocol.units import Epoch
from protocol.votes import Certificate


class Postman:
    """Makes certificates of votes."""

    def __init__(self, deliver: Callable[[Certificate], None]) -> None:
        """Take what to do with a certificate when it is complete."""
        self._deliver = deliver
        self._tally: Tally | None = None
        self._epoch: Epoch | None = None

    def collect(self, message: Votes, state: LedgerState) -> None:
        """Count the votes that a member has just cast, given that member's ledger.

        The tally of an epoch begins with the first member that reaches it; what comes for an earlier one is dropped,
        since the block that ended it is final.
        """
        for vote in message.votes:
            if self._epoch is None or vote.epoch > self._epoch:
                self._tally, self._epoch = Tally(build_validator_set(state)), vote.epoch
            if self._tally is None or vote.epoch != self._epoch or not self._tally.is_of_epoch(vote):
                continue
            counted = self._tally.count(vote)
            if isinstance(counted, Counted) and counted.certificate is not None:
                self._deliver(counted.certificate)
