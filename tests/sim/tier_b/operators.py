"""People at a node: they bond and unbond stake, wait for the ledger's judgement, and compare it with the ledger."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from node.ports import Store
from node.submissions import Judged, TellSigned
from protocol.operations import Bond, Payload, Unbond
from protocol.refusals import Refusal
from protocol.units import Digest, Stake

PAUSE_S_MAX: Final = 1.5
AT_A_TIME: Final = 3
AMOUNT_MAX: Final = 1_000
"""Micro-tokens: far too little to change who is drawn."""
AMOUNT_NOBODY_HAS: Final = 10**15
"""The ledger must refuse it and say so."""

Submit = Callable[[Payload, TellSigned], Awaitable[Judged]]


@dataclass(slots=True, kw_only=True)
class Operator:
    """Somebody who asks for one operation after the other, in every life of a node, until told to stop."""

    random: random.Random
    signed: set[Digest] = field(default_factory=set)
    judged: list[Judged] = field(default_factory=list)
    waiting_count: int = 0
    is_done: bool = False

    async def work(self, submit: Submit, store: Store) -> None:
        """Ask for a few operations at a time, for the length of a life.

        Raises:
            AssertionError: An answer is not what the ledger says.
        """
        async with trio.open_nursery() as nursery:
            for _ in range(AT_A_TIME):
                nursery.start_soon(self._ask_again_and_again, submit, store)

    async def _ask_again_and_again(self, submit: Submit, store: Store) -> None:
        while not self.is_done:
            await trio.sleep(self.random.random() * PAUSE_S_MAX)
            payload = self._draw_payload()
            self.waiting_count += 1
            try:
                judged = await submit(payload, self._note_signed)
            finally:
                self.waiting_count -= 1
            found = store.get_operation_result(judged.operation_id)
            assert found is not None, "an operation was answered that is not on the ledger"
            answered = (judged.height, judged.refusal)
            assert (found.height, found.result.refusal) == answered, "the answer is not the ledger's"
            assert judged.operation_id in self.signed, "an operation was answered that was never signed"
            expected = Refusal.BOND_EXCEEDS_FREE if isinstance(payload, Bond) else Refusal.NONE
            assert judged.refusal is expected, f"{payload} came to {judged.refusal.name}"
            self.judged.append(judged)

    async def _note_signed(self, operation_id: Digest) -> None:
        self.signed.add(operation_id)

    def _draw_payload(self) -> Payload:
        if self.random.random() < 0.2:
            return Bond(amount=Stake(AMOUNT_NOBODY_HAS + self.random.randrange(AMOUNT_MAX)))
        return Unbond(amount=Stake(1 + self.random.randrange(AMOUNT_MAX)))
