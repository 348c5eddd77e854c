"""The whole core under one member that lies, a network that delays and repeats, and a machine that restarts.

An input is an array: from which time of the recorded run on, and what happens then, step by step. After every step
:mod:`tests.fuzz.bench` checks what must hold; nothing may be raised at all.
"""

from functools import cache
from typing import Final, cast

import msgpack

from protocol.gossip import Topic
from tests.fuzz.bench import FAULTY, Bench
from tests.fuzz.memo import remember_signatures
from tests.fuzz.msgpack_mutation import parse
from tests.fuzz.recording import record
from tests.fuzz.signing import Signer, make_signer
from tests.fuzz.step_mutation import (
    ADVANCE,
    BLOCKS,
    BODY,
    ECHO,
    GIVE_UP,
    GOSSIP,
    LEAD,
    RESTART,
    STEPS_MAX,
    SUBMIT,
    TOPICS,
    WORK,
    StepMutator,
)
from tests.fuzz.target import Target
from tests.fuzz.trees import Tree

SPAN_MS_MAX: Final = 600_000
SEED_STEPS: Final = 14
FLOOD_MESSAGES: Final = 12


@cache
def _get_everybody() -> Signer:
    remember_signatures()
    return make_signer(record(), record().keys)


def run(data: bytes) -> None:
    """Let all steps happen."""
    match parse(data):
        case [int(number), list(steps)]:
            pass
        case _:
            return
    snapshots = record().snapshots
    bench = Bench(record(), snapshots[number % len(snapshots)], _get_everybody())
    for step in steps[:STEPS_MAX]:
        _happen(bench, step)
    bench.finish()


def _happen(bench: Bench, step: Tree) -> None:
    match step:
        case [int(kind), int(topic), bool(is_late), bytes(message)] if kind == GOSSIP:
            bench.gossip(TOPICS[topic % len(TOPICS)], message, is_late=is_late)
        case [int(kind), int(span_ms)] if kind == ADVANCE:
            bench.advance(max(0, min(span_ms, SPAN_MS_MAX)))
        case [int(kind), list(frames)] if kind == BLOCKS:
            bench.fetch_blocks([frame for frame in frames if isinstance(frame, bytes)])
        case [int(kind), bytes(frame)] if kind == BODY:
            bench.fetch_body(frame)
        case [int(kind)] if kind == WORK:
            bench.work()
        case [int(kind)] if kind == ECHO:
            bench.echo()
        case [int(kind), int(fit), list(operations)] if kind == LEAD:
            bench.lead([operation for operation in operations if isinstance(operation, bytes)], fit)
        case [int(kind), int(fit), bool(is_late), bytes(operation)] if kind == SUBMIT:
            bench.submit(operation, fit, is_late=is_late)
        case [int(kind), bool(is_late)] if kind == GIVE_UP:
            bench.give_up(is_late=is_late)
        case [int(kind), bool(loses_journal)] if kind == RESTART:
            bench.restart(loses_journal=loses_journal)
        case _:
            return


@cache
def make_seeds() -> tuple[bytes, ...]:
    """Return what was recorded after each snapshot, as everybody heard it, and what a straggler fetches."""
    _get_everybody()
    recording = record()
    seeds: list[list[Tree]] = []
    for number, snapshot in enumerate(recording.snapshots):
        heard = [entry for entry in recording.published if entry.now_ms >= snapshot.now_ms]
        steps: list[Tree] = []
        now_ms = snapshot.now_ms
        for entry in heard[:SEED_STEPS]:
            if entry.now_ms > now_ms:
                steps += [[ADVANCE, entry.now_ms - now_ms], [WORK]]
                now_ms = entry.now_ms
            steps.append([GOSSIP, TOPICS.index(entry.topic), False, entry.message])
        seeds.append([number, steps])
    votes = [entry for entry in recording.published if entry.sender == FAULTY and entry.topic is Topic.CONSENSUS]
    first: list[Tree] = [[GOSSIP, 0, False, votes[0].message], [ECHO], [WORK], [ECHO], [RESTART, False], [ADVANCE, 600]]
    seeds.append([2, first])
    mutator = get_step_mutator()
    # A round from its draw to its verdict, in which everybody does what this engine does.
    turn: list[Tree] = [[LEAD, 7, []], [ECHO], [ECHO], [WORK], [ADVANCE, 501]]
    seeds += [[number, turn * (8 if number == 7 else 1)] for number in range(len(recording.snapshots))]
    # The others give up a view, and this node hears of it after whatever else has happened.
    late: list[Tree] = [[LEAD, 7, []], [ECHO], [GIVE_UP, True], [ECHO], [ECHO], [ADVANCE, 0]]
    seeds += [[number, late] for number in range(len(recording.snapshots))]
    seeds += [[0, [[GOSSIP, 0, False, message] for message in mutator.make_flood(FLOOD_MESSAGES)]]]
    asked = mutator.operations[:: max(1, len(mutator.operations) // 12)]
    seeds += [[4, [[SUBMIT, 1, False, operation], *turn, *turn]] for operation in asked]
    seeds.append([0, [[BLOCKS, cast(Tree, mutator.blocks[:12])], [BODY, mutator.bodies[-1]], [ADVANCE, 50]]])
    return tuple(cast(bytes, msgpack.packb(seed)) for seed in seeds)


@cache
def get_step_mutator() -> StepMutator:
    """Return changes that one member signs."""
    return StepMutator(record(), make_signer(record(), (record().keys[FAULTY],)))


TARGET: Final = Target(
    run=run,
    seeds=make_seeds,
    mutate=lambda data, chance: get_step_mutator().mutate(data, chance),
    cpu_s=4.0,
    memory_bytes=None,
    input_bytes_max=1 << 18,
)
