"""This node's part in the beacon, as the engine sees it: key generation and outputs together (B1 to B4)."""

from dataclasses import dataclass
from typing import assert_never

from protocol.beacon_outputs import BeaconOutputs
from protocol.beacon_shares import BeaconShares
from protocol.blocks import BeaconProof, Block
from protocol.crypto import SigningKey
from protocol.interface import BeaconInput, Effect, PartialReceived
from protocol.key_orders import DealMade, DealsChecked, JudgeDeal, ShareDerived
from protocol.ledger.state import LedgerState, build_ceremony
from protocol.messages import Partial
from protocol.operations import Operation, Payload, PostDeal
from protocol.parameters import Parameters
from protocol.units import Digest, Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class BeaconPlan:
    """What to do next: orders to the shell, and operations to submit."""

    effects: tuple[Effect, ...]
    payloads: tuple[Payload, ...]
    has_new_proof: bool
    """Whether an output has become known, so that there is a block to propose."""


class BeaconDuties:
    """What this node owes the beacon, and what it knows of it."""

    def __init__(self, chain_id: Digest, key: SigningKey, parameters: Parameters, started_ms: Millis) -> None:
        """Start with no memory: everything derives from the ledger and the long-term keys."""
        self._shares = BeaconShares(chain_id, key.member, parameters)
        self._outputs = BeaconOutputs(chain_id, key, parameters, started_ms)

    @property
    def wakeup_ms(self) -> Millis | None:
        """When to be asked for a plan again, if nothing else happens."""
        return self._outputs.resend_ms

    def check_wanted(self, partial: Partial, state: LedgerState) -> None:
        """Check whether somebody's partial is of use; errors as :meth:`BeaconOutputs.check_wanted`."""
        self._outputs.check_wanted(partial, state)

    def on_event(self, event: BeaconInput, state: LedgerState) -> None:
        """Take a fact about the beacon."""
        match event:
            case PartialReceived():
                self._outputs.on_partial(event.partial, state)
            case DealMade():
                self._shares.on_deal_made(event)
            case DealsChecked():
                self._shares.on_deals_checked(event)
            case ShareDerived():
                self._shares.on_share_derived(event)
            case _:
                assert_never(event)

    def judge_ahead(self, operation: Operation, state: LedgerState) -> tuple[Effect, ...]:
        """Return the order to check a pending deal off the event loop, before the block that orders it comes."""
        match operation.content.payload:
            case PostDeal(epoch=epoch) as deal if epoch == state.epoch:
                ceremony = build_ceremony(state.chain_id, epoch, state.validators, state.members)
                return (JudgeDeal(ceremony=ceremony, dealer=operation.content.member, deal=deal),)
            case _:
                return ()

    def plan(self, state: LedgerState, now_ms: Millis) -> BeaconPlan:
        """Return what follows from the ledger's state after the last final block."""
        shares = self._shares.plan(state)
        had_proof = self._outputs.get_proof(()) is not None
        effects = self._outputs.follow(state, self._shares.shares, now_ms)
        return BeaconPlan(
            effects=(*shares.effects, *effects),
            payloads=tuple(shares.payloads),
            has_new_proof=not had_proof and self._outputs.get_proof(()) is not None,
        )

    def get_proof(self, branch: tuple[Block, ...]) -> BeaconProof | None:
        """Return the output to put into the next block, unless an unfinalized one has it already (B2)."""
        return self._outputs.get_proof(branch)
