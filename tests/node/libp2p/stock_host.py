"""The library's own host, as a process of its own because it leaves sockets behind.

``python -m tests.node.libp2p.stock_host INDEX PEER_ID ADDRESS`` connects with the key of member INDEX, sends one status
request and prints the response in hexadecimal digits, or ``refused``.
"""

import sys
from contextlib import suppress

import libp2p
import trio
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from node.libp2p_transport.frames import encode_frame
from node.ports import Service
from tests.node.libp2p.members import make_settings


async def swallow(stream: INetStream) -> None:
    with suppress(BaseLibp2pError):
        while await stream.read(1_000):
            pass


async def ask(index: int, peer: ID, address: str) -> str:
    settings = make_settings(index, count=10)
    host = libp2p.new_host(key_pair=create_new_key_pair(settings.signing_seed))
    host.set_stream_handler(TProtocol(settings.get_gossip_protocol()), swallow)
    async with host.run([]):
        host.get_peerstore().add_addrs(peer, [Multiaddr(address)], 60)
        try:
            stream = await host.new_stream(peer, [TProtocol(settings.get_service_protocol(Service.STATUS))])
        except BaseLibp2pError:
            return "refused"
        await stream.write(encode_frame(b"hello"))
        answer = b""
        while not answer.endswith(encode_frame(b"\x01")):
            answer += await stream.read(100)
        return answer.hex()


if __name__ == "__main__":
    print(trio.run(ask, int(sys.argv[1]), ID.from_base58(sys.argv[2]), sys.argv[3]))
