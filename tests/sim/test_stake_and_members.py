"""Tier A: operators who ask for what they may not, one thing after the other, and what the ledger makes of it (L6, L9).

What was right is told by the second opinion at the end of the run; these tests see to it that it was asked for.
"""

from collections import Counter
from collections.abc import Callable

import pytest

from protocol.interface import OperationRequested
from protocol.ledger.state import LedgerState, get_account
from protocol.operations import Approve, Bond, Leave, Payload, Unbond, decode_operation
from protocol.outcomes import OperationResult
from protocol.refusals import Refusal
from protocol.units import Stake
from tests.sim.membership import is_gone, is_validator, make_join
from tests.sim.memo import remember_signatures
from tests.sim.scenario import TOKEN, Scenario
from tests.sim.scenarios import build_cluster, check_end, describe

WEIGHTS = tuple(TOKEN * share for share in (40, 30, 20, 10, 8))
NEWCOMERS = 2
DEADLINE_MS = 120_000


class Assembly:
    """A network whose founders' operators take turns."""

    def __init__(self, seed: int, *, epoch_blocks: int) -> None:
        scenario = Scenario(
            node_count=len(WEIGHTS) + NEWCOMERS,
            newcomer_count=NEWCOMERS,
            weights=WEIGHTS,
            epoch_blocks=epoch_blocks,
            heal_ms=0,
        )
        self.seed = seed
        self.cluster = build_cluster(scenario, seed)
        newcomers = self.cluster.setting.keys[len(WEIGHTS) :]
        self.joins = [make_join(keys, f"newcomer-{index}") for index, keys in enumerate(newcomers)]
        self.cluster.start()
        self.wait(lambda: all(node.is_up() for node in self.cluster.nodes))

    @property
    def state(self) -> LedgerState:
        return self.cluster.nodes[0].disk.state

    def ask(self, founder: int, payload: Payload) -> Refusal:
        """Let a founder ask for something, and return what the ledger made of it."""
        height = len(self.cluster.nodes[0].disk.blocks)
        self.cluster.handle(self.cluster.nodes[founder], OperationRequested(payload=payload))
        self.wait(lambda: self._find_result(height, payload) is not None)
        result = self._find_result(height, payload)
        assert result is not None
        return result.refusal

    def wait(self, is_done: Callable[[], bool]) -> None:
        """Wait for something."""
        assert self.cluster.loop.run_until(is_done, deadline_ms=DEADLINE_MS), describe(self.cluster)

    def pass_epoch(self) -> None:
        """Wait for the end of the epoch."""
        epoch = self.state.epoch
        self.wait(lambda: self.state.epoch > epoch)

    def end(self) -> None:
        """Check everything."""
        check_end(self.cluster, self.seed)

    def _find_result(self, height: int, payload: Payload) -> OperationResult | None:
        disk = self.cluster.nodes[0].disk
        for final, outcome in zip(disk.blocks[height:], disk.outcomes[height:], strict=True):
            for encoded, result in zip(final.block.operations, outcome.results, strict=True):
                if decode_operation(encoded).content.payload == payload:
                    return result
        return None


@pytest.mark.parametrize("seed", range(2))
def test_newcomers_are_approved_by_weight_of_validators_each_once(seed: int) -> None:
    """L9: the first has most heads behind it, the second more than two thirds of the weight."""
    with remember_signatures():
        assembly = Assembly(seed, epoch_blocks=40)
        first, second = assembly.joins
        approval = Approve(member=first.card.member, bond=first.bond)
        refusals = Counter(
            [
                assembly.ask(4, first),
                assembly.ask(4, Unbond(amount=Stake(TOKEN))),
                *(assembly.ask(founder, approval) for founder in (3, 2, 1, 1)),
                assembly.ask(0, Approve(member=first.card.member, bond=Stake(first.bond + 1))),
            ]
        )
        assembly.pass_epoch()
        assert not is_validator(assembly.state, first.card.member)
        # The fourth has too little bonded to be a validator by now.
        approval = Approve(member=second.card.member, bond=second.bond)
        refusals += Counter(
            [
                assembly.ask(4, second),
                assembly.ask(0, second),
                *(assembly.ask(founder, approval) for founder in (4, 1, 3)),
            ]
        )
        assembly.pass_epoch()
        assert is_validator(assembly.state, second.card.member)
        assembly.end()
    assert refusals == {
        Refusal.NONE: 8,
        Refusal.APPROVAL_REPEATED: 1,
        Refusal.WRONG_BOND: 1,
        Refusal.NOT_A_VALIDATOR: 2,
    }


@pytest.mark.parametrize("seed", range(2))
def test_stake_that_leaves_is_held_for_as_long_as_it_can_be_slashed(seed: int) -> None:
    """L6: and can be bonded again then."""
    with remember_signatures():
        assembly = Assembly(seed, epoch_blocks=4)
        stayer, leaver = (node.member for node in assembly.cluster.nodes[:2])
        assert assembly.ask(0, Unbond(amount=Stake(5 * TOKEN))) is Refusal.NONE
        assert assembly.ask(1, Leave()) is Refusal.NONE
        assert assembly.ask(0, Bond(amount=Stake(TOKEN))) is Refusal.BOND_EXCEEDS_FREE
        assembly.pass_epoch()
        assert assembly.ask(0, Unbond(amount=Stake(3 * TOKEN))) is Refusal.NONE
        assembly.wait(lambda: get_account(assembly.state, stayer).free == 8 * TOKEN)
        assert assembly.ask(0, Bond(amount=Stake(7 * TOKEN))) is Refusal.NONE
        assembly.wait(lambda: is_gone(assembly.state, leaver))
        assembly.end()
