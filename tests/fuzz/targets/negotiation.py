"""The choice of a protocol on a member's stream, ours or its own: LinkFailed, and no more read than protocols need.

The first byte of an input chooses who opened the stream, the second how many bytes come at a time.
"""

import random
from functools import cache
from typing import Final, cast

from libp2p.utils.varint import encode_uvarint

from node.libp2p_transport.complaints import Complaints
from node.libp2p_transport.faults import LinkFailed
from node.libp2p_transport.handshake import Doorkeeper
from node.libp2p_transport.muxer import MuxedStream
from node.libp2p_transport.network import Connection, Network
from node.libp2p_transport.roster import Roster
from node.libp2p_transport.scores import PeerScores
from protocol.units import Millis
from tests.fuzz.bytes_mutation import mutate_bytes
from tests.fuzz.driving import hush_logs, run_virtually
from tests.fuzz.target import Target
from tests.fuzz.targets.gossip import FakeConnection
from tests.fuzz.targets.streams import MEMBER, FedStream, make_settings

PROTOCOL: Final = "/pnyx/test/1"
MULTISTREAM: Final = "/multistream/1.0.0"
PIECE_BYTES_MAX: Final = 4_096
"""The most that may be read at a time before a protocol is agreed on."""


class CountedStream(FedStream):
    """A stream that remembers how much was asked for at a time."""

    asked_bytes_max = 0

    async def read(self, n: int | None = None) -> bytes:
        self.asked_bytes_max = max(self.asked_bytes_max, 1 << 62 if n is None else n)
        return await super().read(n)


class FakeMuxer:
    """A connection's streams: one."""

    def __init__(self, stream: FedStream) -> None:
        self._stream = stream

    def open_stream(self) -> FedStream:
        return self._stream


@cache
def _make_network() -> Network:
    hush_logs()
    scores = PeerScores(limit=-100, penalty_ms=Millis(1_000), recovery_ms=Millis(1_000))
    complaints = Complaints(interval_ms=Millis(1))
    settings = make_settings()
    doorkeeper = Doorkeeper(settings, Roster(settings), scores=scores, complaints=complaints)
    network = Network(settings, doorkeeper, scores=scores, complaints=complaints)

    async def serve(_connection: Connection, _stream: MuxedStream) -> None:
        """Have agreed."""

    async def stay(_connection: Connection) -> None:
        """Have connected."""

    network.serve({PROTOCOL: serve}, on_connected=stay)
    return network


def run(data: bytes) -> None:
    """Agree on a protocol, or not."""
    if len(data) < 2:
        return
    stream = CountedStream(data[2:], chunk_bytes=1 + 8 * data[1])
    run_virtually(lambda: _serve(stream) if data[0] % 2 else _open(stream))
    assert stream.asked_bytes_max <= PIECE_BYTES_MAX, f"{stream.asked_bytes_max} bytes are read for a protocol's name"


async def _serve(stream: CountedStream) -> None:
    connection = FakeConnection(MEMBER)
    await _make_network()._serve_stream(cast(Connection, connection), cast(MuxedStream, stream))
    assert stream.is_reset, "a stream was left open"


async def _open(stream: CountedStream) -> None:
    network = _make_network()
    connection = FakeConnection(MEMBER)
    connection.muxer = FakeMuxer(stream)  # type: ignore[attr-defined]  # all of a connection that opening looks at
    network.connections[MEMBER] = cast(Connection, connection)
    try:
        await network.open_stream(MEMBER, PROTOCOL)
    except LinkFailed:
        assert stream.is_reset, "a stream was left open"


def delimit(text: bytes) -> bytes:
    """Return a line as negotiation sends it."""
    return encode_uvarint(len(text) + 1) + text + b"\n"


@cache
def make_seeds() -> tuple[bytes, ...]:
    """Return what peers send that agree."""
    hello, name = delimit(MULTISTREAM.encode()), delimit(PROTOCOL.encode())
    return (
        b"\x01\xff" + hello + name,
        b"\x01\x00" + hello + delimit(b"ls") + delimit(b"/other/1") + name,
        b"\x00\xff" + hello + name,
        b"\x00\xff" + hello + delimit(b"na"),
    )


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Change bytes, or say something else, or announce more than comes."""
    if chance.random() < 0.5:
        return mutate_bytes(data, chance)
    said = chance.choice([b"", b"ls", b"na", PROTOCOL.encode(), b"\xff\xfe", b"x" * 900, b"a\nb"])
    announced = encode_uvarint(chance.choice([0, 1, 1_024, 1_025, 70_000, 2**31, 2**63, 2**64 - 1]))
    piece = delimit(said) if chance.random() < 0.6 else announced + said
    place = chance.choice([2, len(data)])
    return data[:place] + piece + data[place:]


TARGET: Final = Target(run=run, seeds=make_seeds, mutate=mutate, input_bytes_max=8_192)
