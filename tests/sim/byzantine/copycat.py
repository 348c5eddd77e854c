"""The copycat: never does the work of a round, and claims that of others as its own.

It submits the manifest of another proposer's update, seals with another voter's seal and opens it with that voter's
ballot and salt, whether it was drawn or not. None of it may count (F3, F8).
"""

from collections import deque
from collections.abc import Sequence

from protocol.codec import decode, encode
from protocol.genesis import compute_chain_id
from protocol.gossip import Topic
from protocol.interface import Effect, FinalizedBlock
from protocol.ledger.state import get_account
from protocol.messages import OperationMessage
from protocol.operations import Payload, RevealBallot, SealBallot, SubmitUpdate, decode_operation, sign_operation
from protocol.units import Digest, MemberId, Millis, Round
from tests.sim.byzantine.puppet import Puppet
from tests.sim.byzantine.puppeteer import Puppeteer, list_others, tell_operation
from tests.sim.cluster import AdversaryHome
from tests.sim.node import Action


class Copycat:
    """Has an engine that asks for no operation, and sends copies, one after the other."""

    def __init__(self, home: AdversaryHome, puppet: Puppet) -> None:
        self._key = home.keys.key
        self._puppet = puppet
        # Keeping them back would not be enough: a leader orders its own operations from its own pool.
        puppet.engine._own.submit = lambda payload, state, now_ms: []  # type: ignore[method-assign]
        self._chain_id = compute_chain_id(home.genesis)
        self._others = list_others(home)
        self._models: dict[tuple[Round, type[Payload]], MemberId] = {}
        self._waiting: deque[Payload] = deque()
        self._sent: set[int] = set()

    def twist(self, effects: Sequence[Effect], now_ms: Millis) -> list[Action]:
        return [*effects, *self._send_next(now_ms)]

    def hear(self, _sender: int, topic: Topic, message: bytes) -> list[Action]:
        if topic is Topic.OPERATIONS:
            heard = decode(OperationMessage, message, bytes_max=len(message))
            content = decode_operation(heard.operation).content
            payload = content.payload
            if isinstance(payload, SubmitUpdate | SealBallot | RevealBallot):
                # What is opened must be what was sealed: the same voter's in each round.
                kind = SubmitUpdate if isinstance(payload, SubmitUpdate) else SealBallot
                model = self._models.setdefault((payload.round, kind), content.member)
                if model == content.member and payload not in self._waiting:
                    self._waiting.append(payload)
        return []

    def serve(self, blocks: tuple[FinalizedBlock, ...]) -> tuple[FinalizedBlock, ...]:
        return blocks

    def gives(self, _requester: int, _digest: Digest) -> bool:
        return True

    def _send_next(self, now_ms: Millis) -> list[Action]:
        """Return the next copy, once the one before has been judged."""
        number = get_account(self._puppet.engine.state, self._key.member).next_sequence
        if number in self._sent or not self._waiting:
            return []
        self._sent.add(number)
        operation = sign_operation(self._chain_id, self._key, number, self._waiting.popleft())
        return [tell_operation(self._others, encode(operation), int(now_ms))]


def make(home: AdversaryHome) -> Puppeteer:
    """Return the member."""
    puppet = Puppet(home)
    return Puppeteer(puppet, Copycat(home, puppet))
