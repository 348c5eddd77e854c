"""The words of gossip: topics, and what may become of a message (W3); :mod:`protocol.admission` decides."""

from enum import Enum, StrEnum


class Topic(StrEnum):
    """The gossip topics of one chain (W3)."""

    CONSENSUS = "consensus"
    OPERATIONS = "operations"
    BEACON = "beacon"


class Admission(Enum):
    """What to do with a gossip message.

    ACCEPT forwards it; IGNORE drops it without blame; REJECT drops it and lowers the sender's score.
    """

    ACCEPT = "accept"
    IGNORE = "ignore"
    REJECT = "reject"
