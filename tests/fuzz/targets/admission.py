"""W3, C13: gossip that is judged: accepted, ignored or rejected, with nothing changed by it and nothing else raised.

The first byte of an input chooses the engine, of which there are several in different epochs and phases, the second
the topic; the rest is the message. What the engine is to hear has signatures that hold, whoever changed it.
"""

import random
from functools import cache
from typing import Final

from protocol.engine import Engine
from protocol.gossip import Admission, Topic
from protocol.interface import ConsensusReceived, EarlyReceived, OperationReceived, PartialReceived
from protocol.messages import Votes
from protocol.votes import check_vote
from tests.fuzz.memo import remember_signatures
from tests.fuzz.message_mutation import MessageMutator
from tests.fuzz.recording import Snapshot, record
from tests.fuzz.shape import take_shape
from tests.fuzz.signing import make_signer
from tests.fuzz.target import Target

TOPICS: Final = tuple(Topic)
ENGINES: Final = 5
HEARD: Final = 6
"""Messages that an engine hears after its start, so that a view is half decided."""


@cache
def _make_engines() -> tuple[tuple[Engine, object], ...]:
    remember_signatures()
    snapshots = record().snapshots
    chosen = [snapshots[index * (len(snapshots) - 1) // (ENGINES - 1)] for index in range(ENGINES)]
    engines = [_make_engine(snapshot) for snapshot in chosen]
    return tuple((engine, take_shape(engine)) for engine in engines)


def _make_engine(snapshot: Snapshot) -> Engine:
    engine = record().start_engine(snapshot.disk, snapshot.now_ms)
    engine.start(snapshot.now_ms)
    following = [entry for entry in record().published if entry.now_ms >= snapshot.now_ms]
    for entry in following[:HEARD]:
        event = engine.judge_gossip(entry.topic, entry.message).event
        if event is not None:
            engine.handle(event, snapshot.now_ms)
    return engine


def run(data: bytes) -> None:
    """Judge one message."""
    if len(data) < 2:
        return
    engine, before = _make_engines()[data[0] % ENGINES]
    admitted = engine.judge_gossip(TOPICS[data[1] % len(TOPICS)], data[2:])
    assert take_shape(engine) == before, "judging a message has changed the engine"
    assert admitted.reason or admitted.admission is Admission.ACCEPT, "a message is refused without a reason"
    match admitted.event:
        case None:
            assert admitted.admission is not Admission.ACCEPT, "a message is accepted and nothing comes of it"
        case ConsensusReceived(message=Votes(votes=votes)):
            for vote in votes:
                check_vote(record().chain_id, vote)
        case OperationReceived() | ConsensusReceived():
            assert admitted.admission is not Admission.REJECT, "a message is rejected and heard"
        case PartialReceived(partial=partial):
            assert admitted.admission is Admission.ACCEPT, "a partial is heard and not accepted"
            holders = {member for key in engine.state.beacon_keys for member in key.holders}
            assert partial.member in holders, "a partial of somebody without a share is heard"
        case EarlyReceived(epoch=epoch):
            assert epoch > engine.state.epoch, "a message of this epoch is put off"
        case other:
            raise AssertionError(f"gossip has become {type(other).__name__}")


@cache
def make_seeds() -> tuple[bytes, ...]:
    """Return recorded messages for every engine."""
    _make_engines()
    chosen = record().published[:: max(1, len(record().published) // 60)]
    return tuple(
        bytes([number % ENGINES, TOPICS.index(entry.topic)]) + entry.message for number, entry in enumerate(chosen)
    )


@cache
def get_message_mutator() -> MessageMutator:
    """Return changes that are signed by everybody."""
    recording = record()
    return MessageMutator(
        make_signer(recording, recording.keys),
        recording.get_messages(Topic.CONSENSUS),
        recording.get_messages(Topic.OPERATIONS),
        recording.get_messages(Topic.BEACON),
    )


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Change the message, and seldom who hears it."""
    if len(data) < 2:
        data = chance.choice(make_seeds())
    engine = chance.randrange(ENGINES) if chance.random() < 0.3 else data[0] % ENGINES
    kind = chance.randrange(len(TOPICS)) if chance.random() < 0.02 else data[1] % len(TOPICS)
    return bytes([engine, kind]) + get_message_mutator().mutate(TOPICS[kind], data[2:], chance)


TARGET: Final = Target(run=run, seeds=make_seeds, mutate=mutate)
