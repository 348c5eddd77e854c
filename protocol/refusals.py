"""Why the ledger refuses an operation: one number per rule, which outcomes record and audits recompute (L8).

Numbers are on the ledger for good. A rule that is dropped keeps its number, and a new one takes a number that was never
used. What to do about a refusal is told by the shell, in words that may change.
"""

from enum import IntEnum


class Refusal(IntEnum):
    """What the ledger made of an operation: executed it, or refused it by one of the rules."""

    NONE = 0
    """It was executed."""

    NOT_A_MEMBER = 1
    WRONG_SEQUENCE = 2
    """Another number than the member's next; the only refusal that uses no number up."""

    NO_ROUND_OPEN = 10
    WRONG_ROUND = 11
    WRONG_PHASE = 12
    WRONG_ATTEMPT = 13
    NOT_A_PROPOSER = 14
    UPDATE_REPEATED = 15
    WRONG_BASE = 16
    MANIFEST_WRONG = 17
    UPDATE_COPIED = 18
    """Of a rule that was dropped: a copy that came first would have pushed out the original."""
    NOT_A_VOTER = 19
    SEAL_REPEATED = 20
    NOTHING_SEALED = 21
    REVEAL_REPEATED = 22
    BALLOT_DOES_NOT_OPEN = 23

    BOND_WHILE_LEAVING = 30
    BOND_EXCEEDS_FREE = 31
    UNBOND_EXCEEDS_BONDED = 32

    EVIDENCE_PROVES_NOTHING = 40
    OFFENDER_NOT_A_MEMBER = 41
    OFFENCE_TOO_OLD = 42
    OFFENCE_KNOWN = 43
    NOTHING_TO_SLASH = 44
    OFFENCES_FULL = 45

    NOT_A_VALIDATOR = 50
    NEWCOMER_IS_MEMBER = 51
    NEWCOMER_WAITS = 52
    ACCOUNTS_FULL = 53
    NEWCOMERS_TOO_MANY = 54
    BOND_OUT_OF_BOUNDS = 55
    NAME_TAKEN = 56
    BLS_KEY_TAKEN = 57
    CARD_DOES_NOT_HOLD = 58
    NOBODY_WAITS = 59
    WRONG_BOND = 60
    APPROVAL_REPEATED = 61
    LEAVING_REPEATED = 62

    WRONG_CEREMONY = 70
    """Of another epoch than the ledger's."""
    DEALING_IS_OVER = 71
    DEAL_REPEATED = 72
    DEAL_DOES_NOT_HOLD = 73
    NOTHING_DEALT = 74
    DEALER_DISQUALIFIED = 75
    COMPLAINT_REPEATED = 76
