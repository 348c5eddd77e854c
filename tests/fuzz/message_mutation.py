"""Changes to gossip that its signer signs again: what a member may say that says whatever it likes."""

import random
from collections.abc import Sequence
from typing import Final, cast

from protocol.codec import decode, decode_union, encode, encode_union
from protocol.errors import MalformedMessage
from protocol.gossip import Topic
from protocol.messages import Certificates, ConsensusMessage, OperationMessage, PartialMessage, Proposal, Votes
from protocol.units import Digest, Epoch, View
from protocol.votes import Certificate, VoteKind
from tests.fuzz.msgpack_mutation import make_msgpack_mutator
from tests.fuzz.signing import Signer
from tests.fuzz.target import Mutator

MESSAGE_BYTES_MAX: Final = 1 << 20
SIGNED_SHARE: Final = 0.7
SPRAYED_SHARE: Final = 0.1


class MessageMutator:
    """Changes messages of all topics."""

    def __init__(
        self, signer: Signer, consensus: Sequence[bytes], operations: Sequence[bytes], partials: Sequence[bytes]
    ) -> None:
        """Take who signs, and true messages."""
        self._signer = signer
        self._consensus = consensus
        self._mutators: dict[Topic, Mutator] = {
            Topic.CONSENSUS: make_msgpack_mutator(consensus),
            Topic.OPERATIONS: make_msgpack_mutator(operations),
            Topic.BEACON: make_msgpack_mutator(partials),
        }

    def mutate(self, topic: Topic, message: bytes, chance: random.Random) -> bytes:
        """Return another message, most often with true signatures."""
        if topic is Topic.CONSENSUS and chance.random() < SPRAYED_SHARE:
            return self.spray(chance)
        changed = self._mutators[topic](message, chance)
        return self.sign(topic, changed) if chance.random() < SIGNED_SHARE else changed

    def sign(self, topic: Topic, message: bytes) -> bytes:
        """Return a message with its signatures made again; what does not decode stays as it is."""
        try:
            if topic is Topic.CONSENSUS:
                decoded = cast(
                    ConsensusMessage, decode_union(ConsensusMessage, message, bytes_max=MESSAGE_BYTES_MAX)
                )
                return encode_union(self._signer.sign_message(decoded), ConsensusMessage)
            if topic is Topic.BEACON:
                return encode(self._signer.sign_partial(decode(PartialMessage, message, bytes_max=MESSAGE_BYTES_MAX)))
            envelope = decode(OperationMessage, message, bytes_max=MESSAGE_BYTES_MAX)
        except MalformedMessage:
            return message
        operation = self._signer.sign_encoded_operation(envelope.operation)
        return encode(OperationMessage(operation=operation, attempt=envelope.attempt))

    def spray(self, chance: random.Random) -> bytes:
        """Return as much as one message may hold about views around a true message's, or far from it."""
        near = self._find_view(chance)
        epoch, view = near
        first = max(1, view + chance.choice([-70, -16, -1, 0, 1, 60, 1_000_000]))
        step = chance.choice([1, 1, 1, 7, 2**40])
        count = chance.choice([2, 20, 64])
        views = [View(min(first + step * index, 2**64 - 1)) for index in range(count)]
        kind = chance.choice(list(VoteKind))
        block_hash = Digest(chance.randbytes(32))
        if chance.random() < 0.6:
            keys = chance.choice(self._signer.keys)
            message: ConsensusMessage = self._signer.spray(keys, epoch, views, kind, block_hash)
        else:
            named = None if kind is VoteKind.NULLIFY else block_hash
            made = [self._signer.certify(epoch, kind, each, named) for each in views]
            held: list[Certificate] = [certificate for certificate in made if certificate is not None]
            message = Certificates(certificates=tuple(held), attempt=chance.randrange(3))
        return encode_union(message, ConsensusMessage)

    def _find_view(self, chance: random.Random) -> tuple[Epoch, View]:
        decoded = decode_union(ConsensusMessage, chance.choice(self._consensus), bytes_max=MESSAGE_BYTES_MAX)
        match decoded:
            case Proposal(block=block):
                return block.header.epoch, block.header.view
            case Votes(votes=votes):
                return votes[0].epoch, votes[0].view
            case _:
                return Epoch(0), View(1)
