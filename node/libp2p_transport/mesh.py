"""The gossipsub router: libp2p's own, with everything off that silently loses messages or dials strangers.

Whom to graft and prune, and who asks whom for missed messages, is decided by the library's ``GossipSub``; this class
sets its parameters, gives it our message ids and our outboxes, and replaces the few methods that
:mod:`node.libp2p_transport.workarounds` lists.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from hashlib import sha256
from secrets import SystemRandom
from typing import Final

import trio
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.mcache import CacheEntry, MessageCache
from libp2p.pubsub.pb import rpc_pb2

_CHOICE: Final = SystemRandom()
_SEEN_S: Final = 120.0
_SEEN_MAX: Final = 200_000
_GOSSIP_WINDOW: Final = 3
_GOSSIP_HISTORY: Final = 5
"""For how many heartbeats a message is told of, and kept for whoever asks."""
_GOSSIP_IDS_MAX: Final = 1_000
_GOSSIP_PEERS_MAX: Final = 6
_PRUNE_BACK_OFF_S: Final = 10


def compute_message_id(message: rpc_pb2.Message) -> bytes:
    """Return the id under which duplicates are recognized: 20 bytes of a digest over topic and content.

    It takes no notice of the source and sequence number that a message claims, because nothing proves them; our
    payloads are signed and carry an attempt counter instead (W2, W4).
    """
    topic = message.topicIDs[0].encode() if message.topicIDs else b""
    return sha256(topic + b"\0" + message.data).digest()[:20]


class SeenMessages:
    """The ids of the last two minutes' messages."""

    def __init__(self) -> None:
        self._expiries: OrderedDict[bytes, float] = OrderedDict()

    def add(self, message_id: bytes) -> bool:
        """Remember an id; return whether it was new."""
        now = trio.current_time()
        while self._expiries:
            oldest = next(iter(self._expiries))
            if self._expiries[oldest] > now and len(self._expiries) <= _SEEN_MAX:
                break
            del self._expiries[oldest]
        if message_id in self._expiries:
            return False
        self._expiries[message_id] = now + _SEEN_S
        return True

    def has(self, message_id: bytes) -> bool:
        """Return whether a message was seen (asked by the router before it requests one)."""
        return message_id in self._expiries


class _ContentCache(MessageCache):
    """The messages of the last heartbeats, by our ids."""

    def put(self, msg: rpc_pb2.Message) -> None:
        message_id = compute_message_id(msg)
        if message_id not in self.msgs:
            self.msgs[message_id] = msg
            self.history[0].append(CacheEntry(message_id, msg.topicIDs))


class Mesh(GossipSub):
    """Decides who are the neighbours of each topic, and who is told about which messages."""

    def __init__(self, *, degree: int, heartbeat_s: float, send: Callable[[ID, rpc_pb2.RPC], None]) -> None:
        super().__init__(
            protocols=[PROTOCOL_ID_V11],
            degree=degree,
            degree_low=degree,
            degree_high=degree + 2,
            heartbeat_interval=1,
            do_px=False,
            prune_back_off=_PRUNE_BACK_OFF_S,
            adaptive_gossip_enabled=False,
            spam_protection_enabled=False,
            eclipse_protection_enabled=False,
        )
        self.heartbeat_interval = heartbeat_s  # type: ignore[assignment]  # the library only sleeps for it
        self.scorer = None
        self.mcache = _ContentCache(_GOSSIP_WINDOW, _GOSSIP_HISTORY)
        self._send = send

    def forget(self, peer: ID) -> None:
        """Drop what the router remembers of a peer across its connections: until when not to graft it."""
        for until in self.back_off.values():
            until.pop(peer, None)

    def send_rpc(self, peer_id: ID, rpc: rpc_pb2.RPC, priority: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - the library's signature
        """Put control and requested messages in the peer's outbox, each message in an envelope of its own."""
        if rpc.HasField("control"):
            self._send(peer_id, rpc_pb2.RPC(control=rpc.control))
        for message in rpc.publish:
            self._send(peer_id, rpc_pb2.RPC(publish=[message]))

    def gossip_heartbeat(self) -> defaultdict[ID, dict[str, list[bytes]]]:
        """Choose whom to tell which messages we hold.

        Also peers that are in back-off, and mesh neighbours as well, because they are not sent what its publisher has
        sent to all.
        """
        told: defaultdict[ID, dict[str, list[bytes]]] = defaultdict(dict)
        for topic in self.mesh:
            message_ids = self.mcache.window(topic)[-_GOSSIP_IDS_MAX:]
            if self.pubsub is None or not message_ids:
                continue
            others = sorted(self.pubsub.peer_topics.get(topic, ()), key=ID.to_bytes)
            for peer in _CHOICE.sample(others, min(len(others), _GOSSIP_PEERS_MAX)):
                told[peer][topic] = message_ids
        return told

    async def _emit_control_msgs(
        self,
        peers_to_graft: dict[ID, list[str]],
        peers_to_prune: dict[ID, list[str]],
        peers_to_gossip: dict[ID, dict[str, list[bytes]]],
    ) -> None:
        """Send each peer what is meant for it and nothing else."""
        for peer in {*peers_to_graft, *peers_to_prune, *peers_to_gossip}:
            control = self.pack_control_msgs(
                [
                    rpc_pb2.ControlIHave(topicID=topic, messageIDs=message_ids)
                    for topic, message_ids in peers_to_gossip.get(peer, {}).items()
                ],
                [rpc_pb2.ControlGraft(topicID=topic) for topic in peers_to_graft.get(peer, ())],
                [
                    rpc_pb2.ControlPrune(topicID=topic, backoff=self.prune_back_off)
                    for topic in peers_to_prune.get(peer, ())
                ],
            )
            self._send(peer, rpc_pb2.RPC(control=control))

    async def _do_px(self, px_peers: list[rpc_pb2.PeerInfo]) -> None:
        """Never dial whom a neighbour names: the members are known (L1)."""
