"""Lines on the control socket: each is answered, with a result or with an error, and nothing else happens.

The first byte of an input says how many bytes come at a time. Behind the socket is the real desk, on the recorded run.
"""

import json
import random
from functools import cache
from typing import Final, cast

import trio
import trio.testing

from node.control import REQUEST_BYTES_MAX, _serve_client
from node.control_desk import ControlDesk
from node.errors import WorkerFailed
from node.observations import ObservationHub
from node.peer_clocks import PeerClocks
from node.ports import Transport
from node.status import Informant, Windows
from node.submissions import Judged, TellSigned
from node.timings import Timings
from protocol.operations import Payload
from protocol.refusals import Refusal
from protocol.units import Digest, Height, Ppm, View
from tests.fuzz.driving import hush_logs, run_virtually
from tests.fuzz.json_mutation import make_json_mutator
from tests.fuzz.real_stores import open_ledger
from tests.fuzz.recording import record
from tests.fuzz.target import Mutator, Target
from tests.fuzz.targets.answers import LyingTransport
from tests.node.fakes import TrioClock
from tests.values import make_digest

ANSWER_WAIT_S: Final = 60.0


def _make_informant() -> Informant:
    run_of = record()
    windows = Windows(
        get_state=lambda: run_of.states[-1],
        get_view=lambda: View(3),
        explain_silence=lambda: None,
        store=open_ledger(),
        transport=cast(Transport, LyingTransport([])),
        clock=TrioClock(),
        peer_clocks=PeerClocks(),
        timings=Timings(),
    )
    member = run_of.keys[0].key.member
    return Informant(genesis=run_of.genesis, member=member, name="me", version="0", windows=windows)


async def _measure(digest: Digest) -> Ppm:
    if digest[0] % 2:
        raise WorkerFailed("no such model")
    return Ppm(900_000)


async def _submit(_payload: Payload, tell_signed: TellSigned) -> Judged:
    await tell_signed(make_digest("operation"))
    return Judged(operation_id=make_digest("operation"), height=Height(9), refusal=Refusal.NONE)


def run(data: bytes) -> None:
    """Connect, send these bytes, and read what is answered."""
    if not data:
        return
    hush_logs()
    # Opening it runs an event loop of its own, and one at a time is all there is.
    open_ledger()
    run_virtually(lambda: _talk(data[1:], chunk_bytes=1 + 1_024 * data[0]))


async def _talk(data: bytes, *, chunk_bytes: int) -> None:
    desk = ControlDesk(
        informant=_make_informant(),
        hub=ObservationHub(),
        get_score=lambda digest: digest[1] if digest[1] < 100 else None,
        measure_score=_measure,
        submit=_submit,
    )
    client, server = trio.testing.memory_stream_pair()
    answer = bytearray()

    async def serve() -> None:
        async with server:
            await _serve_client(cast(trio.SocketStream, server), desk.handle)

    async def read() -> None:
        while piece := await client.receive_some():
            answer.extend(piece)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        nursery.start_soon(read)
        try:
            for start in range(0, len(data), chunk_bytes):
                await client.send_all(data[start : start + chunk_bytes])
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        with trio.move_on_after(ANSWER_WAIT_S):
            await _wait_children(nursery)
        nursery.cancel_scope.cancel()
    for line in answer.split(b"\n")[:-1]:
        said = json.loads(line)
        assert said["ok"] is True or (said["ok"] is False and isinstance(said["error"], str)), "no answer as agreed on"
    has_line = b"\n" in data[:REQUEST_BYTES_MAX]
    assert bytes(answer) or not has_line or desk.stop_requested.is_set(), "a request was not answered"


async def _wait_children(nursery: trio.Nursery) -> None:
    while nursery.child_tasks:
        await trio.sleep(0.5)


@cache
def make_seeds() -> tuple[bytes, ...]:
    """Return every command."""
    digest = make_digest("model").hex()
    requests: list[dict[str, object]] = [
        {"command": "status"},
        {"command": "peers"},
        {"command": "rounds", "limit": 2, "from_round": 1},
        {"command": "rounds"},
        {"command": "stakes"},
        {"command": "model"},
        {"command": "score", "digest": digest},
        {"command": "submit", "kind": "bond", "amount": 5},
        {"command": "watch"},
        {"command": "stop"},
    ]
    return tuple(b"\x01" + json.dumps(request).encode() + b"\n" for request in requests)


@cache
def _get_mutator() -> Mutator:
    return make_json_mutator([seed[1:-1] for seed in make_seeds()])


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Change the request, and seldom lose the end of its line."""
    end = b"" if chance.random() < 0.05 else b"\n"
    return data[:1] + _get_mutator()(data[1:].rstrip(b"\n"), chance) + end


TARGET: Final = Target(run=run, seeds=make_seeds, mutate=mutate, input_bytes_max=1 << 17)
