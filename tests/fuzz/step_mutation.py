"""Changes to what happens to an engine: steps lost, repeated, exchanged and added, and messages changed in between."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, cast

import msgpack

from protocol.admission import VOTES_PER_MESSAGE_MAX
from protocol.codec import decode, decode_union, encode, encode_union
from protocol.errors import MalformedMessage
from protocol.genesis import FIRST_EPOCH
from protocol.gossip import Topic
from protocol.messages import ConsensusMessage, OperationMessage, Proposal
from protocol.operations import OPERATION_BYTES_MAX, Operation, ReportEvidence, decode_operation, sign_operation
from protocol.units import Millis, View
from protocol.units import Sequence as OperationNumber
from protocol.votes import VoteKind
from tests.fuzz.bench import FAULTY, MESSAGE_BYTES_MAX
from tests.fuzz.message_mutation import MessageMutator
from tests.fuzz.msgpack_mutation import make_msgpack_mutator, parse
from tests.fuzz.recording import Recording
from tests.fuzz.signing import Signer
from tests.fuzz.target import Mutator
from tests.fuzz.trees import Tree
from tests.values import make_digest, make_equivocation

STEPS_MAX: Final = 40
GOSSIP, ADVANCE, BLOCKS, BODY, WORK, ECHO, RESTART, LEAD, SUBMIT, GIVE_UP = range(10)
TOPICS: Final = tuple(Topic)
LIKELY_STEPS: Final = (
    *(GOSSIP, GOSSIP, ADVANCE, ADVANCE, ADVANCE, BLOCKS, BODY, WORK, WORK, RESTART),
    *(ECHO, ECHO, ECHO, ECHO, LEAD, LEAD, LEAD, SUBMIT, SUBMIT, GIVE_UP, GIVE_UP),
)
SPANS_MS: Final = (0, 1, 49, 50, 250, 500, 501, 1_000, 2_000, 4_001, 60_000)


class StepMutator:
    """Changes inputs of the target ``engine``."""

    def __init__(self, recording: Recording, faulty: Signer) -> None:
        """Take what was recorded, and who signs: one member alone."""
        self._recording = recording
        self._faulty = faulty
        consensus = recording.get_messages(Topic.CONSENSUS)
        operations = recording.get_messages(Topic.OPERATIONS)
        self._messages = MessageMutator(faulty, consensus, operations, recording.get_messages(Topic.BEACON))
        self.blocks = [encode(entry.finalized) for entry in recording.blocks]
        self.bodies = [encode(entry.finalized.block) for entry in recording.blocks]
        self._change_block = make_msgpack_mutator(self.blocks)
        self.operations = self._collect_operations(operations)
        self._change_operation: Mutator = make_msgpack_mutator(self.operations)

    def make_flood(self, count: int) -> list[bytes]:
        """Return messages full of the faulty member's votes for one view after the other, far beyond what is near."""
        keys = self._recording.keys[FAULTY]
        starts = range(1, 1 + count * VOTES_PER_MESSAGE_MAX, VOTES_PER_MESSAGE_MAX)
        block_hash = make_digest("no block")
        return [
            encode_union(
                self._faulty.spray(
                    keys,
                    FIRST_EPOCH,
                    [View(view) for view in range(start, start + VOTES_PER_MESSAGE_MAX)],
                    VoteKind.NOTARIZE,
                    block_hash,
                ),
                ConsensusMessage,
            )
            for start in starts
        ]

    def mutate(self, data: bytes, chance: random.Random) -> bytes:
        """Return another input."""
        match parse(data):
            case [int(snapshot), list(steps)]:
                pass
            case _:
                snapshot, steps = chance.randrange(64), []
        if chance.random() < 0.05:
            snapshot = chance.randrange(64)
        for _ in range(chance.choice([1, 1, 2, 4])):
            self._change_steps(steps, chance)
        packed = msgpack.packb([snapshot & 63, steps[:STEPS_MAX]])
        assert isinstance(packed, bytes)
        return packed

    def _change_steps(self, steps: list[Tree], chance: random.Random) -> None:
        place = chance.randrange(len(steps) + 1)
        draw = chance.random()
        if not steps or draw < 0.35:
            steps.insert(place, self._make_step(chance))
        elif draw < 0.8:
            near = min(place, len(steps) - 1)
            steps[near] = self._change_step(steps[near], chance)
        elif draw < 0.87:
            del steps[min(place, len(steps) - 1)]
        elif draw < 0.94:
            steps.insert(place, chance.choice(steps))
        else:
            one, other = chance.randrange(len(steps)), chance.randrange(len(steps))
            steps[one], steps[other] = steps[other], steps[one]

    def _make_step(self, chance: random.Random) -> Tree:
        match chance.choice(LIKELY_STEPS):
            case kind if kind == GOSSIP:
                entry = chance.choice(self._recording.published)
                step: list[Tree] = [GOSSIP, TOPICS.index(entry.topic), chance.random() < 0.2, entry.message]
                return step if chance.random() < 0.3 else self._change_step(step, chance)
            case kind if kind == ADVANCE:
                return [ADVANCE, chance.choice(SPANS_MS)]
            case kind if kind == BLOCKS:
                start = chance.randrange(len(self.blocks))
                frames = self.blocks[start : start + chance.choice([1, 2, 12])]
                return [BLOCKS, cast(Tree, frames)]
            case kind if kind == BODY:
                return [BODY, chance.choice(self.bodies)]
            case kind if kind == LEAD:
                count = chance.choice([0, 1, 1, 3])
                return [LEAD, _draw_fit(chance), [self._make_operation(chance) for _ in range(count)]]
            case kind if kind == SUBMIT:
                return [SUBMIT, chance.getrandbits(8), chance.random() < 0.2, self._make_operation(chance)]
            case kind if kind == GIVE_UP:
                return [GIVE_UP, chance.random() < 0.5]
            case kind if kind == RESTART:
                return [RESTART, chance.random() < 0.3]
            case kind:
                return [kind]

    def _change_step(self, step: Tree, chance: random.Random) -> Tree:
        match step:
            case [int(kind), int(topic), bool(is_late), bytes(message)] if kind == GOSSIP:
                chosen = TOPICS[topic % len(TOPICS)]
                if chosen is Topic.CONSENSUS and chance.random() < 0.4:
                    return [GOSSIP, topic, is_late, self._propose(message, chance)]
                if chosen is Topic.OPERATIONS and chance.random() < 0.5:
                    envelope = OperationMessage(operation=self._make_operation(chance), attempt=chance.randrange(3))
                    return [GOSSIP, topic, is_late, encode(envelope)]
                late = not is_late if chance.random() < 0.1 else is_late
                return [GOSSIP, topic, late, self._messages.mutate(chosen, message, chance)]
            case [int(kind), int()] if kind == ADVANCE:
                return [ADVANCE, chance.choice(SPANS_MS)]
            case [int(kind), list(frames)] if kind == BLOCKS and frames:
                changed = list(frames)
                place = chance.randrange(len(changed))
                frame = changed[place]
                changed[place] = self._change_block(frame if isinstance(frame, bytes) else b"", chance)
                return [BLOCKS, changed]
            case [int(kind), int(), bool(is_late), bytes(operation)] if kind == SUBMIT:
                return [SUBMIT, chance.getrandbits(8), is_late, self._change_operation(operation, chance)]
            case [int(kind), int(fit), list(operations)] if kind == LEAD:
                if chance.random() < 0.5:
                    return [LEAD, _draw_fit(chance), operations]
                return [LEAD, fit, [*operations[1:], self._make_operation(chance)]]
            case [int(kind), bytes(body)] if kind == BODY:
                return [BODY, self._change_block(body, chance)]
            case _:
                return self._make_step(chance)

    def _propose(self, message: bytes, chance: random.Random) -> bytes:
        """Return a true proposal with other operations or a slightly other header, signed by whoever leads its view."""
        try:
            decoded = decode_union(ConsensusMessage, message, bytes_max=MESSAGE_BYTES_MAX)
        except MalformedMessage:
            return message
        if not isinstance(decoded, Proposal):
            return self._messages.mutate(Topic.CONSENSUS, message, chance)
        block = decoded.block
        operations = list(block.operations) if chance.random() < 0.5 else []
        operations += [self._make_operation(chance) for _ in range(chance.choice([0, 1, 1, 2, 5]))]
        shift_ms = chance.choice([0, 0, 0, 1, -1, 50, 1_999, 5_000])
        header = replace(block.header, time_ms=Millis(block.header.time_ms + shift_ms))
        if chance.random() < 0.1:
            header = replace(header, view=View(max(1, header.view + chance.choice([-1, 1, 2, 63, 64]))))
        proposal = replace(decoded, block=replace(block, header=header, operations=tuple(operations)))
        return encode_union(self._faulty.sign_message(proposal), ConsensusMessage)

    def _make_operation(self, chance: random.Random) -> bytes:
        """Return an operation of the faulty member: a recorded or a changed payload under a likely number."""
        encoded = chance.choice(self.operations)
        if chance.random() < 0.6:
            encoded = self._change_operation(encoded, chance)
        try:
            operation = decode(Operation, encoded, bytes_max=OPERATION_BYTES_MAX)
        except MalformedMessage:
            return encoded
        number = OperationNumber(chance.choice([0, 1, 2, 3, 4, 5, 6, 8, 12, 64, 2**63, 2**64 - 1]))
        key = self._recording.keys[FAULTY].key
        payload = self._faulty.sign_payload(operation.content.payload)
        return encode(sign_operation(self._recording.chain_id, key, number, payload))

    def _collect_operations(self, envelopes: Sequence[bytes]) -> list[bytes]:
        encoded = [decode(OperationMessage, one, bytes_max=MESSAGE_BYTES_MAX).operation for one in envelopes]
        keys = self._recording.keys[FAULTY]
        evidence = make_equivocation(self._recording.chain_id, keys.key, View(3))
        report = sign_operation(
            self._recording.chain_id, keys.key, OperationNumber(2), ReportEvidence(evidence=evidence)
        )
        assert all(decode_operation(one).content.member for one in encoded)
        return [*encoded, encode(report)]


def _draw_fit(chance: random.Random) -> int:
    """Return how well a proposal is to fit: in half of the cases something in its header does not."""
    return chance.randrange(6) if chance.random() < 0.5 else chance.getrandbits(8)
