"""Dials an address to see whose node answers there, without disturbing anybody's connections.

It proves nothing about us: a key made for the occasion is used, so that a node takes this for a stranger, and never for
a member that connects anew and makes it drop the connection that it has.
"""

import os
from dataclasses import dataclass

import trio
from libp2p.crypto.ed25519 import create_new_key_pair as create_ed25519_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_x25519_key_pair
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.noise.patterns import PatternXX
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_PROTOCOL

from node.errors import ConfigError
from node.libp2p_transport.faults import LinkFailed, library_faults
from node.libp2p_transport.sockets import TcpConnection, dial
from node.libp2p_transport.workarounds import quiet_library_logs
from node.peer_ids import peer_id_to_member
from protocol.units import MemberId


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a dialled address came to."""

    member: MemberId | None
    """Who has proved to be there."""
    reason: str = ""
    """Why nobody has."""


async def ask_identity(address: str, *, timeout_s: float) -> Answer:
    """Dial a TCP multiaddress and have whoever answers prove who it is; raises nothing that an answer could cause."""
    raw: TcpConnection | None = None
    with trio.move_on_after(timeout_s):
        try:
            raw = await dial(address)
            return Answer(member=await _prove(raw))
        except (LinkFailed, ConfigError) as error:
            return Answer(member=None, reason=str(error))
        except OSError as error:
            return Answer(member=None, reason=_explain(error))
        finally:
            if raw is not None:
                raw.abort()
    return Answer(member=None, reason="no answer in time" if raw is None else "connected, but no handshake in time")


async def _prove(raw: TcpConnection) -> MemberId:
    """Return who is at the other end, by the noise handshake; the signature of its key is checked in it."""
    own = create_ed25519_key_pair(os.urandom(32))
    pattern = PatternXX(ID.from_pubkey(own.public_key), own.private_key, create_x25519_key_pair().private_key)
    quiet_library_logs()
    try:
        with library_faults("noise handshake"):
            await MultiselectClient().select_one_of([NOISE_PROTOCOL], MultiselectCommunicator(raw))
            secured = await pattern.handshake_outbound(raw, None)
        return peer_id_to_member(str(secured.get_remote_peer()))
    except (LinkFailed, ConfigError) as error:
        raise LinkFailed("what answers there is no pnyx node") from error


def _explain(error: OSError) -> str:
    """Return why a connection failed; the cause of several attempts is in their errors."""
    cause = error.__cause__
    parts = cause.exceptions if isinstance(cause, BaseExceptionGroup) else (cause or error,)
    reasons = {
        os.strerror(part.errno) if part.errno and part.errno > 0 else part.strerror or str(part)
        for part in parts
        if isinstance(part, OSError)
    }
    return ", ".join(sorted(reasons)) or str(error)
