"""L1: what strangers send before they are known: LinkFailed, or a member that has proved who it is.

An input is a byte that chooses, an identity payload behind its length, and more bytes. In half of the inputs the bytes
are all that comes. In the others the stranger performs the noise handshake as it should, with this payload as its
identity, and sends the bytes afterwards, encrypted.
"""

import random
from functools import cache
from typing import Final, cast

import trio
from libp2p.abc import IRawConnection
from libp2p.crypto.ed25519 import create_new_key_pair as create_ed25519_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_x25519_key_pair
from libp2p.custom_types import TProtocol
from libp2p.io.exceptions import IOException
from libp2p.peer.id import ID
from libp2p.protocol_muxer.exceptions import MultiselectClientError
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.noise.messages import NoiseExtensions, NoiseHandshakePayload
from libp2p.security.noise.patterns import PatternXX
from libp2p.security.noise.pb import noise_pb2
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_PROTOCOL

from node.libp2p_transport.complaints import Complaints
from node.libp2p_transport.faults import LinkFailed
from node.libp2p_transport.handshake import Doorkeeper
from node.libp2p_transport.scores import PeerScores
from node.libp2p_transport.sockets import TcpConnection
from protocol.units import MemberId, Millis
from tests.fuzz.bytes_mutation import mutate_bytes
from tests.fuzz.driving import hush_logs, run_virtually
from tests.fuzz.target import Target
from tests.fuzz.targets.negotiation import MULTISTREAM, _delimit
from tests.fuzz.targets.streams import make_settings
