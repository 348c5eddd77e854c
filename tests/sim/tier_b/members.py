"""People who change who takes part: they ask for a newcomer, approve it, and one of them leaves (L9).

They look at their own nodes' ledgers now and then, and ask for what is still to be done. The newcomer's node runs from
the beginning, on a home that founded nothing; nobody connects to it before it is admitted.
"""

from dataclasses import dataclass, field
from typing import Final

import trio

from protocol.interface import OperationRequested
from protocol.ledger.state import get_account
from protocol.operations import Approve, Join, Leave, Payload
from tests.sim.membership import is_gone, is_validator, make_join
from tests.sim.tier_b.whole import WholeNode

LOOK_S: Final = 0.4


@dataclass(slots=True, kw_only=True)
class Assembly:
    """All members, of which one comes and one goes."""

    nodes: list[WholeNode]
    newcomer: WholeNode
    leaver: WholeNode
    ask_s: float
    leave_s: float
    _join: Join = field(init=False)

    def __post_init__(self) -> None:
        """Sign the newcomer's card."""
        self._join = make_join(self.newcomer.keys, self.newcomer.name)

    @property
    def staying(self) -> list[WholeNode]:
        """Everybody but who leaves."""
        return [node for node in self.nodes if node is not self.leaver]

    async def run(self) -> None:
        """Let everybody do what is still to be done, until all is done."""
        while not self.is_done():
            await trio.sleep(LOOK_S)
            for node in self.nodes:
                if node.is_up:
                    await self._act(node)

    def is_done(self) -> bool:
        """Return whether every ledger has the newcomer as a validator and is rid of the one that leaves."""
        return all(
            node.is_up and is_gone(node.state, self.leaver.member) and is_validator(node.state, self.newcomer.member)
            for node in self.staying
        )

    async def _act(self, node: WholeNode) -> None:
        state, now_s, newcomer = node.state, trio.current_time(), self.newcomer.member
        if not is_validator(state, node.member):
            return
        candidacy = next((entry for entry in state.candidacies if entry.card.member == newcomer), None)
        if candidacy is not None and node.member not in candidacy.approvals:
            await self._ask(node, Approve(member=newcomer, bond=self._join.bond))
        elif candidacy is None and now_s >= self.ask_s and all(entry.member != newcomer for entry in state.accounts):
            await self._ask(node, self._join)
        if node is self.leaver and now_s >= self.leave_s and not get_account(state, node.member).is_leaving:
            await self._ask(node, Leave())

    async def _ask(self, node: WholeNode, payload: Payload) -> None:
        if payload not in node.node.engine._mempool.get_payloads(node.member):
            with trio.move_on_after(LOOK_S):
                await node.node.inbox.put(OperationRequested(payload=payload))
