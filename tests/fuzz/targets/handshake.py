"""L1: what strangers send before they are known: LinkFailed, or a member that has proved who it is.

The first byte of an input chooses. Even: the rest is all that comes. Odd: the stranger performs the noise handshake as
it should, with the rest as its identity, split by the second byte from what it sends afterwards, encrypted.
"""

import random
from functools import cache
from typing import Final, cast

import trio
import trio.testing
from libp2p.crypto.ed25519 import create_new_key_pair as create_ed25519_key_pair
from libp2p.crypto.x25519 import X25519PrivateKey
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.noise.messages import NoiseExtensions, NoiseHandshakePayload
from libp2p.security.noise.patterns import PatternXX
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_PROTOCOL

from node.libp2p_transport.complaints import Complaints
from node.libp2p_transport.faults import LinkFailed, library_faults
from node.libp2p_transport.handshake import Doorkeeper
from node.libp2p_transport.roster import Roster
from node.libp2p_transport.scores import PeerScores
from node.libp2p_transport.sockets import TcpConnection
from node.peer_ids import member_to_peer_id
from protocol.units import MemberId, Millis
from tests.fuzz.bytes_mutation import mutate_bytes
from tests.fuzz.driving import hush_logs, run_virtually
from tests.fuzz.target import Target
from tests.fuzz.targets.negotiation import MULTISTREAM, delimit
from tests.fuzz.targets.streams import make_settings

FRIEND_SEED: Final = bytes([2] * 32)
NOISE_SEED: Final = bytes([3] * 32)
"""The friend's noise key is always the same, so that its signature over it can be part of an input."""
YAMUX: Final = "/yamux/1.0.0"


class PairedSocket:
    """One end of a pair of streams, which looks like a TCP socket."""

    def __init__(self, stream: trio.testing.MemorySendStream, receives: trio.testing.MemoryReceiveStream) -> None:
        self.socket = self
        self._sends = stream
        self._receives = receives

    def setsockopt(self, *_option: int) -> None:
        """Take the option."""

    def getpeername(self) -> tuple[str, int]:
        return "192.0.2.1", 4001

    async def receive_some(self, bytes_max: int) -> bytes:
        return bytes(await self._receives.receive_some(bytes_max))

    async def send_all(self, data: bytes) -> None:
        await self._sends.send_all(data)

    def close(self) -> None:
        self._sends.close()
        self._receives.close()


class Claim:
    """An identity payload of any bytes, where the library makes one of its own."""

    def __init__(self, encoded: bytes) -> None:
        self._encoded = encoded

    def serialize(self) -> bytes:
        return self._encoded


class Impostor(PatternXX):
    """The library's noise handshake with another identity in it."""

    claim = b""

    def make_handshake_payload(self, extensions: NoiseExtensions | None = None) -> NoiseHandshakePayload:
        return cast(NoiseHandshakePayload, Claim(self.claim))


@cache
def _make_friend() -> tuple[MemberId, Impostor, bytes]:
    """Return a member, its handshake, and its true identity payload."""
    pair = create_ed25519_key_pair(FRIEND_SEED)
    noise_key = X25519PrivateKey.from_bytes(NOISE_SEED)
    peer = ID.from_pubkey(pair.public_key)
    pattern = Impostor(peer, pair.private_key, noise_key)
    true = PatternXX(peer, pair.private_key, noise_key).make_handshake_payload().serialize()
    return MemberId(pair.public_key.to_bytes()), pattern, true


@cache
def _make_stranger_payload() -> bytes:
    """Return the true identity of somebody who holds the friend's noise key and is no member."""
    pair = create_ed25519_key_pair(bytes([9] * 32))
    noise_key = X25519PrivateKey.from_bytes(NOISE_SEED)
    return PatternXX(ID.from_pubkey(pair.public_key), pair.private_key, noise_key).make_handshake_payload().serialize()


@cache
def _make_doorkeeper() -> Doorkeeper:
    hush_logs()
    friend = _make_friend()[0]
    scores = PeerScores(limit=-100, penalty_ms=Millis(1_000), recovery_ms=Millis(1_000))
    settings = make_settings(members=frozenset({friend}))
    return Doorkeeper(settings, Roster(settings), scores=scores, complaints=Complaints(interval_ms=Millis(1)))


def run(data: bytes) -> None:
    """Greet a stranger, or be greeted by one."""
    if len(data) < 2:
        return
    run_virtually(lambda: _meet(data))


async def _meet(data: bytes) -> None:
    to_us, from_them = trio.testing.memory_stream_one_way_pair()
    to_them, from_us = trio.testing.memory_stream_one_way_pair()
    ours = TcpConnection(cast(trio.SocketStream, PairedSocket(to_them, from_them)), is_initiator=bool(data[0] & 2))
    theirs = TcpConnection(cast(trio.SocketStream, PairedSocket(to_us, from_us)), is_initiator=not data[0] & 2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_speak, theirs, data)
        try:
            if data[0] & 2:
                await _make_doorkeeper().greet_outbound(ours, _make_friend()[0])
            else:
                member, _ = await _make_doorkeeper().greet_inbound(ours)
                assert member == _make_friend()[0], "somebody came in who is no member"
        except LinkFailed:
            pass
        else:
            assert data[0] & 1, "somebody came in without a handshake"
        nursery.cancel_scope.cancel()


async def _speak(theirs: TcpConnection, data: bytes) -> None:
    try:
        with library_faults("the stranger's own handshake"):
            if data[0] & 1:
                split = 2 + data[1]
                await _claim(theirs, data[2:split], data[split:])
            else:
                await theirs.write(data[1:])
    except LinkFailed:
        pass
    theirs.abort()


async def _claim(theirs: TcpConnection, claim: bytes, rest: bytes) -> None:
    """Perform the handshake with this identity, then send the rest."""
    _, pattern, _ = _make_friend()
    pattern.claim = claim
    communicator = MultiselectCommunicator(theirs)
    theirs.end_handshake()
    if theirs.is_initiator:
        await MultiselectClient().select_one_of([TProtocol(NOISE_PROTOCOL)], communicator)
        expected = ID.from_base58(member_to_peer_id(_make_doorkeeper().member))
        secured = await pattern.handshake_outbound(theirs, expected)
    else:
        await theirs.write(delimit(MULTISTREAM.encode()) + delimit(NOISE_PROTOCOL.encode()))
        for _ in range(2):
            await communicator.read()
        secured = await pattern.handshake_inbound(theirs)
    await secured.write(rest)
    while await secured.read():
        pass


@cache
def make_seeds() -> tuple[bytes, ...]:
    """Return what a member sends that comes in, and what it answers when it is called; cut short and whole."""
    _, _, true = _make_friend()
    stranger = _make_stranger_payload()
    chosen = delimit(MULTISTREAM.encode()) + delimit(YAMUX.encode())
    plain = delimit(MULTISTREAM.encode()) + delimit(NOISE_PROTOCOL.encode())
    return (
        bytes([1, len(true)]) + true + chosen,
        bytes([3, len(true)]) + true + chosen,
        bytes([1, len(stranger)]) + stranger + chosen,
        b"\x00" + plain + (32).to_bytes(2, "big") + bytes(32),
        b"\x02" + plain + (200).to_bytes(2, "big") + bytes(200),
    )


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Change bytes, keeping the identity's length true most of the time."""
    if len(data) < 2 or not data[0] & 1 or chance.random() < 0.2:
        return mutate_bytes(data, chance)
    claim, rest = data[2 : 2 + data[1]], data[2 + data[1] :]
    if chance.random() < 0.6:
        claim = mutate_bytes(claim, chance)[:255]
    else:
        rest = mutate_bytes(rest, chance)
    return bytes([data[0], len(claim)]) + claim + rest


TARGET: Final = Target(run=run, seeds=make_seeds, mutate=mutate, input_bytes_max=8_192)
