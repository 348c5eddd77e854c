"""Sealed ballots: what a voter may seal, and when an opening is that of its seal (F8).

The seal binds voter, round and attempt, so that a copied seal opens for nobody; the salt hides a ballot that could be
guessed.
"""

from protocol.errors import InvalidMessage
from protocol.operations import RevealBallot, compute_seal
from protocol.units import Digest, MemberId


def check_ballot_opening(voter: MemberId, seal: Digest, reveal: RevealBallot, *, update_count: int) -> None:
    """Check a revealed ballot against the voter's seal and the round's updates.

    Args:
        voter: Who reveals.
        seal: What this voter sealed in the reveal's round and attempt.
        reveal: The opening; its round and attempt are those of the ledger.
        update_count: How many updates the round has; a ballot has one flag for each.

    Raises:
        InvalidMessage: The opening is of another ballot, or the ballot does not fit the round. A voter that sealed
            such a ballot has nothing to reveal and counts as silent.
    """
    if compute_seal(voter, reveal.round, reveal.attempt, reveal.ballot, reveal.salt) != seal:
        raise InvalidMessage("the revealed ballot is not the sealed one")
    if len(reveal.ballot.update_flags) != update_count:
        raise InvalidMessage(
            f"the ballot flags {len(reveal.ballot.update_flags)} updates, the round has {update_count}"
        )
