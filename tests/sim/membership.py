"""Operators who change who takes part while a run goes on: they ask for newcomers, approve, leave, and move stake (L9).

They look at their own node's ledger now and then, as people do, and ask for what is still to be done.
"""

from dataclasses import dataclass, field
from functools import partial

from protocol.cards import CARD_VERSION, CardContent, sign_card
from protocol.engine import Engine
from protocol.interface import OperationRequested
from protocol.ledger.state import LedgerState, get_account, has_left
from protocol.operations import Approve, Bond, Join, Leave, Payload, Unbond
from protocol.units import MICRO_TOKENS_PER_TOKEN, MemberId, Stake
from tests.sim.cluster import Cluster
from tests.sim.keys import NodeKeys
from tests.sim.node import SimNode

LOOK_MS = 400
BOND = Stake(64 * MICRO_TOKENS_PER_TOKEN)


def make_join(keys: NodeKeys, name: str) -> Join:
    """Return the request for a newcomer."""
    card = CardContent(
        version=CARD_VERSION,
        name=name,
        member=keys.key.member,
        bls_key=keys.bls_key.public_key,
        possession=keys.bls_key.prove_possession(),
        addresses=(),
    )
    return Join(card=card, signature=sign_card(keys.key, card), bond=BOND)


@dataclass(slots=True)
class Operators:
    """All operators of a network, and what they have agreed on."""

    cluster: Cluster
    newcomers: list[SimNode]
    leaver: SimNode
    ask_ms: int
    leave_ms: int
    joins: list[Join] = field(init=False)

    def __post_init__(self) -> None:
        """Sign the newcomers' cards."""
        self.joins = [make_join(node.keys, f"newcomer-{node.index}") for node in self.newcomers]

    def look(self) -> None:
        """Let everybody do what is still to be done, and look again later."""
        for node in tuple(self.cluster.honest):
            if node.engine is not None:
                self._act(node, node.engine)
        if any(is_gone(node.disk.state, self.leaver.member) for node in self.cluster.honest):
            self.cluster.retire(self.leaver)
        if not self.is_done():
            self.cluster.loop.at(LOOK_MS, self.look)

    def is_done(self) -> bool:
        """Return whether every ledger has the newcomers as validators and is rid of the one that leaves."""
        states = [node.disk.state for node in self.cluster.honest]
        return all(
            is_gone(state, self.leaver.member)
            and all(is_validator(state, newcomer.member) for newcomer in self.newcomers)
            for state in states
        )

    def _act(self, node: SimNode, engine: Engine) -> None:
        state, elapsed_ms = engine.state, self.cluster.loop.elapsed_ms
        if not is_validator(state, node.member):
            return
        waiting = {entry.card.member: entry for entry in state.candidacies}
        known = {account.member for account in state.accounts}
        for join in self.joins:
            candidacy = waiting.get(join.card.member)
            if candidacy is not None and node.member not in candidacy.approvals:
                self._submit(node, Approve(member=join.card.member, bond=join.bond))
            elif candidacy is None and join.card.member not in known and elapsed_ms >= self.ask_ms:
                self._submit(node, join)
        if node is self.leaver and elapsed_ms >= self.leave_ms and not get_account(state, node.member).is_leaving:
            self._submit(node, Leave())
        elif self.cluster.random.random() < 0.1:
            self._move_stake(node, state)

    def _move_stake(self, node: SimNode, state: LedgerState) -> None:
        free = get_account(state, node.member).free
        amount = Stake(self.cluster.random.randint(1, MICRO_TOKENS_PER_TOKEN))
        self._submit(node, Bond(amount=Stake(min(free, amount))) if free else Unbond(amount=amount))

    def _submit(self, node: SimNode, payload: Payload) -> None:
        if node.engine is not None and payload not in node.engine._mempool.get_payloads(node.member):
            self.cluster.handle(node, OperationRequested(payload=payload))


def is_validator(state: LedgerState, member: MemberId) -> bool:
    """Return whether a member takes part in the consensus of a state's epoch."""
    return any(entry.member == member for entry in state.validators)


def is_gone(state: LedgerState, member: MemberId) -> bool:
    """Return whether a member has left."""
    return any(account.member == member and has_left(account) for account in state.accounts)


def change_members(cluster: Cluster) -> None:
    """Let the newcomers of a network join, one founder leave, and everybody move stake."""
    founders = {founder.member for founder in cluster.genesis.founders}
    newcomers = [node for node in cluster.honest if node.member not in founders]
    leaver = cluster.random.choice([node for node in cluster.honest if node not in newcomers])
    operators = Operators(
        cluster=cluster,
        newcomers=newcomers,
        leaver=leaver,
        ask_ms=cluster.random.randint(0, 4_000),
        leave_ms=cluster.random.randint(0, 8_000),
    )
    cluster.wants.append(operators.is_done)
    cluster.loop.at(LOOK_MS, operators.look)


def leave_one_behind(cluster: Cluster) -> None:
    """Let members change while one node is away for so long that it comes back epochs later."""
    change_members(cluster)
    node = cluster.random.choice(cluster.honest)
    cluster.loop.at(cluster.random.randint(500, 2_000), partial(cluster.restart, node, after_ms=30_000))
