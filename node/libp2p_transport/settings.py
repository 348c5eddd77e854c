"""What a transport is told: who we are, who the members are, where they listen, and every limit."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from node.ports import Service
from protocol.gossip import Topic
from protocol.units import Digest, MemberId, Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSettings:
    """Everything the transport needs to know before it starts."""

    chain_id: Digest
    """Names topics and protocols, so that two networks of the same members never mix."""
    signing_seed: bytes
    """The 32-byte seed of our Ed25519 key; the key is our member id and our libp2p identity (L1)."""
    members: frozenset[MemberId]
    """Who may connect, in either direction, until the transport is told of others; we may be among them."""
    listen: tuple[str, ...]
    """Multiaddresses such as ``/ip4/0.0.0.0/tcp/4001``; port 0 takes a free one."""
    addresses: Mapping[MemberId, tuple[str, ...]]
    """Where to dial each of these members."""
    fixed_addresses: Mapping[MemberId, tuple[str, ...]] = field(default_factory=dict)
    """The operator's own: where to dial these, whatever else is told.

    They make nobody a member: who is none is dialled as a guide while it has blocks that we lack, and never let in.
    """
    gossip_bytes_max: int = 262_144
    """The largest gossip message, sent or received."""
    frame_bytes_max: int = 524_288
    """The largest frame of a request or response."""
    requests_per_peer_max: int = 8
    """How many requests of one peer are served at a time, and how many we keep open to one peer."""
    request_idle_ms: Millis = Millis(30_000)
    """How long one frame of a response may wait for a slow requester before its stream is reset."""
    handshake_timeout_ms: Millis = Millis(5_000)
    """From the accepted socket to the multiplexed connection."""
    handshakes_max: int = 32
    """How many inbound handshakes run at a time."""
    handshakes_per_address_max: int = 16
    """How many of them may come from one IP address."""
    dial_timeout_ms: Millis = Millis(5_000)
    redial_min_ms: Millis = Millis(300)
    redial_max_ms: Millis = Millis(15_000)
    """Pauses between failed dials grow from the one to the other, with jitter."""
    dial_pause_ms: Millis = Millis(2_000)
    """How long the member with the higher id waits for the other to dial before it dials itself."""
    ping_interval_ms: Millis = Millis(5_000)
    ping_timeout_ms: Millis = Millis(10_000)
    """A peer that answers no ping for this long is dropped."""
    mesh_degree: int = 2
    """How many neighbours every message is forwarded to; its publisher sends it to all."""
    heartbeat_ms: Millis = Millis(1_000)
    """Pause between two rounds of mesh care and of telling others which messages we hold."""
    outbox_bytes_max: int = 8_388_608
    """Gossip bytes that may wait for one slow peer; beyond it messages to this peer are dropped and counted."""
    score_limit: int = -100
    """A peer whose score falls to this is disconnected and refused for ``penalty_ms``."""
    penalty_ms: Millis = Millis(60_000)
    score_recovery_ms: Millis = Millis(1_000)
    """How long it takes a lowered score to rise by one."""
    log_interval_ms: Millis = Millis(60_000)
    """The same complaint about the same peer or address is logged once in this time."""

    def get_topic_name(self, topic: Topic) -> str:
        """Return the gossipsub topic of this chain (W3)."""
        return f"/pnyx/{self._get_chain_tag()}/{topic.value}"

    def get_service_protocol(self, service: Service) -> str:
        """Return the stream protocol of a service of this chain (W5)."""
        return f"/pnyx/{self._get_chain_tag()}/{service.value}/1"

    def get_gossip_protocol(self) -> str:
        """Return the stream protocol that carries gossipsub 1.1 in this chain."""
        return f"/pnyx/{self._get_chain_tag()}/meshsub/1.1.0"

    def get_rpc_bytes_max(self) -> int:
        """Return the largest gossipsub envelope: a message, its topic and the framing around them."""
        return max(self.gossip_bytes_max + 1_024, 131_072)

    def _get_chain_tag(self) -> str:
        return self.chain_id.hex()[:16]
