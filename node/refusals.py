"""What each refusal of the ledger means to people, and what to do about it; the ledger itself records numbers (L8)."""

from typing import Final

from protocol.refusals import Refusal

SENTENCES: Final[dict[Refusal, str]] = {
    Refusal.NONE: "",
    Refusal.NOT_A_MEMBER: "The sender is no member of this ledger: ask a member to have it admitted.",
    Refusal.WRONG_SEQUENCE: "The operation came out of turn: send it again if no other of the member's did the same.",
    Refusal.NO_ROUND_OPEN: "No round is open: wait for the next one, if the job has one.",
    Refusal.WRONG_ROUND: "Another round is open: let the node catch up, it takes part in the next one.",
    Refusal.WRONG_PHASE: "It came in the wrong phase of the round: if it was late, look at clock and connections.",
    Refusal.WRONG_ATTEMPT: "The vote of this round was begun anew: let the node catch up and vote in the new attempt.",
    Refusal.NOT_A_PROPOSER: "The member is not drawn to propose in this round: wait until it is.",
    Refusal.UPDATE_REPEATED: "The member has an update in this round already: the first one counts.",
    Refusal.WRONG_BASE: "The update was trained from another model than the round's: let the node catch up.",
    Refusal.MANIFEST_WRONG: "The update's scales, size or example count do not fit this chain: compare the task.",
    Refusal.UPDATE_COPIED: "Another proposer has submitted the same update: refused by old versions only.",
    Refusal.NOT_A_VOTER: "The member is not drawn to vote in this round: wait until it is.",
    Refusal.SEAL_REPEATED: "The member has sealed a ballot in this round already: the first one counts.",
    Refusal.NOTHING_SEALED: "The member sealed no ballot in this round and has none to reveal: wait for the next.",
    Refusal.REVEAL_REPEATED: "The member's ballot is revealed already: nothing is to be done.",
    Refusal.BALLOT_DOES_NOT_OPEN: "The ballot is not the sealed one or misses an update: it counts as silence.",
    Refusal.BOND_WHILE_LEAVING: "The member has asked to leave and cannot bond: to stay, it has to be admitted anew.",
    Refusal.BOND_EXCEEDS_FREE: "Less stake is free than that, or the amount is 0: see `pnyx stakes`.",
    Refusal.UNBOND_EXCEEDS_BONDED: "Less stake is bonded than that, or the amount is 0: see `pnyx stakes`.",
    Refusal.EVIDENCE_PROVES_NOTHING: "The evidence proves no offence on this chain: do not report it again.",
    Refusal.OFFENDER_NOT_A_MEMBER: "The evidence is about somebody who is no member: do not report it again.",
    Refusal.OFFENCE_TOO_OLD: "The offence is older than evidence counts: report the next one sooner.",
    Refusal.OFFENCE_KNOWN: "The member is convicted of this already: nothing is to be done.",
    Refusal.NOTHING_TO_SLASH: "The member is in jail and has nothing left to slash: nothing is to be done.",
    Refusal.OFFENCES_FULL: "Too many convictions are on record: report again when some have expired.",
    Refusal.NOT_A_VALIDATOR: "Only validators of the epoch admit newcomers: let one of them do it.",
    Refusal.NEWCOMER_IS_MEMBER: "The newcomer is a member, or its stake is not yet released: wait for that if it left.",
    Refusal.NEWCOMER_WAITS: "The newcomer waits for approval already: approve of it instead.",
    Refusal.ACCOUNTS_FULL: "The ledger has as many accounts as it can hold: only former members can join anew.",
    Refusal.NEWCOMERS_TOO_MANY: "Too many newcomers of this member wait for approval: let another validator ask.",
    Refusal.BOND_OUT_OF_BOUNDS: "The bond is too low or too high: name at least the network's `bond_min`.",
    Refusal.NAME_TAKEN: "The name is another member's or newcomer's: make a card with another name.",
    Refusal.BLS_KEY_TAKEN: "The BLS key is another member's or newcomer's: make a card with keys of your own.",
    Refusal.CARD_DOES_NOT_HOLD: "The newcomer's card is damaged or breaks a rule: ask the newcomer for a new one.",
    Refusal.NOBODY_WAITS: "That newcomer does not wait for approval: if it is no member, ask for it (again).",
    Refusal.WRONG_BOND: "The request names another bond: look at it again and approve of that amount, or not at all.",
    Refusal.APPROVAL_REPEATED: "This member has approved already: wait for the others and the end of the epoch.",
    Refusal.LEAVING_REPEATED: "The member has asked to leave already: it leaves when the epoch ends.",
}
"""One sentence per refusal; none for what was executed."""
