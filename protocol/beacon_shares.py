"""This node's part in the key generation: it deals, complains of wrong shares, and knows its own (B4).

The computations take from milliseconds to seconds, so they are ordered from the shell and come back as facts; what they
come to depends on the ledger and this member's long-term keys alone, so a restart needs no memory. Shares live in
memory, as long as the ledger keeps the key that they are of.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from protocol.beacon.dealing import Ceremony
from protocol.interface import Effect
from protocol.key_orders import CheckDeals, DealMade, DealsChecked, DeriveShare, KeyWork, MakeDeal, ShareDerived
from protocol.ledger.ceremony import is_dealing_open
from protocol.ledger.state import LedgerState, build_ceremony
from protocol.operations import Complain, Payload, PostDeal
from protocol.parameters import Parameters
from protocol.units import BlsScalar, Digest, Epoch, Height, MemberId


@dataclass(slots=True)
class SharesPlan:
    """What to do next: orders to the shell, and operations to submit."""

    effects: list[Effect] = field(default_factory=list)
    payloads: list[Payload] = field(default_factory=list)


class BeaconShares:
    """This node's deals, complaints and shares."""

    def __init__(self, chain_id: Digest, member: MemberId, parameters: Parameters) -> None:
        """Start with no memory."""
        self._chain_id = chain_id
        self._member = member
        self._parameters = parameters
        self._asked: set[tuple[type[KeyWork], Epoch]] = set()
        self._deal: PostDeal | None = None
        self._complaints: tuple[Complain, ...] = ()
        self._submitted: set[Payload] = set()
        self.shares: dict[Epoch, BlsScalar] = {}
        """Those of this node that fit their keys, by the epoch of the key."""

    def on_deal_made(self, event: DealMade) -> None:
        """Take this node's own deal."""
        self._deal = event.deal

    def on_deals_checked(self, event: DealsChecked) -> None:
        """Take the complaints that the deals of a ceremony call for."""
        self._complaints = event.complaints

    def on_share_derived(self, event: ShareDerived) -> None:
        """Take this node's share of a key; without one it is silent, since a wrong partial would look like a lie."""
        if event.share is not None:
            self.shares[event.key_epoch] = event.share

    def plan(self, state: LedgerState) -> SharesPlan:
        """Return what this node owes the ceremony of the epoch, and what it lacks of the keys in use."""
        plan = SharesPlan()
        self._forget(state)
        if any(entry.member == self._member for entry in state.validators):
            self._plan_ceremony(state, plan)
        for key in state.beacon_keys:
            if self._member in key.holders and key.epoch not in self.shares:
                self._ask(plan, DeriveShare(chain_id=self._chain_id, key=key), key.epoch)
        return plan

    def _plan_ceremony(self, state: LedgerState, plan: SharesPlan) -> None:
        if is_dealing_open(self._parameters, Height(state.height + 1)):
            if any(entry.dealer == self._member for entry in state.deals):
                return
            if self._deal is None or self._deal.epoch != state.epoch:
                self._ask(plan, MakeDeal(ceremony=_build_ceremony(state)), state.epoch)
            else:
                self._submit(plan, [self._deal])
            return
        if state.deals and (CheckDeals, state.epoch) not in self._asked:
            deals = tuple((entry.dealer, entry.deal) for entry in state.deals)
            self._ask(plan, CheckDeals(ceremony=_build_ceremony(state), deals=deals), state.epoch)
        guilty = {entry.dealer for entry in state.deals if entry.is_disqualified}
        due = [one for one in self._complaints if one.epoch == state.epoch and one.dealer not in guilty]
        self._submit(plan, due)

    def _forget(self, state: LedgerState) -> None:
        known = {key.epoch for key in state.beacon_keys}
        self.shares = {epoch: share for epoch, share in self.shares.items() if epoch in known}
        current = {state.epoch, *known}
        self._asked = {entry for entry in self._asked if entry[1] in current}
        self._submitted = {
            payload
            for payload in self._submitted
            if isinstance(payload, PostDeal | Complain) and payload.epoch == state.epoch
        }

    def _ask(self, plan: SharesPlan, work: KeyWork, epoch: Epoch) -> None:
        if (type(work), epoch) not in self._asked:
            self._asked.add((type(work), epoch))
            plan.effects.append(work)

    def _submit(self, plan: SharesPlan, payloads: Iterable[Payload]) -> None:
        # Once: an operation that the ledger refused would be refused again.
        for payload in payloads:
            if payload not in self._submitted:
                self._submitted.add(payload)
                plan.payloads.append(payload)


def _build_ceremony(state: LedgerState) -> Ceremony:
    return build_ceremony(state.chain_id, state.epoch, state.validators, state.members)
