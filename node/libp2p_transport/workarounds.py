"""What libp2p 0.8.1 does wrong for us, and where in this package the cure is.

One entry per fault. Each has a test in tests/node/libp2p/test_workarounds.py that shows the fault on the *installed*
library and fails, naming the entry, once upstream has mended it: then delete the entry together with its cure.
"""

import logging
import os
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

import structlog

CHECKED_VERSION: Final = "0.8.1"
"""The version of the library on which every entry was seen."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workaround:
    """One fault of the library and its cure."""

    symptom: str
    """What an operator would see."""
    cause: str
    """What the library does."""
    cure: str
    """What we do instead."""
    place: str
    """The module and the name that hold the cure, in this package unless it begins with ``node.``."""


WORKAROUNDS: Final[dict[str, Workaround]] = {
    "spam_protection": Workaround(
        symptom="half of all messages gone at twenty a second and node",
        cause="GossipSub drops more than ten messages a second of one peer and topic, without a word",
        cure="off; our own handler judges every message, and scores bound who may go on",
        place="mesh.Mesh",
    ),
    "adaptive_gossip": Workaround(
        symptom="a missed message is told of after a minute or two",
        cause="by default heartbeats are 120 s apart, and adaptive gossip stretches them further",
        cure="adaptive gossip off, heartbeats of our own length",
        place="mesh.Mesh",
    ),
    "eclipse_protection": Workaround(
        symptom="the mesh grows and shrinks without end where members share an address range",
        cause="GossipSub grafts for a diversity of IP addresses that a consortium's site does not have",
        cure="off; members are known by key, so nobody can fill a mesh with invented ones",
        place="mesh.Mesh",
    ),
    "peer_exchange": Workaround(
        symptom="a member makes us dial whom it likes",
        cause="GossipSub dials the peers named in a PRUNE even with do_px=False",
        cure="never dial from there",
        place="mesh.Mesh._do_px",
    ),
    "accumulating_control": Workaround(
        symptom="meshes that only one side believes in",
        cause="each peer of a heartbeat is sent the GRAFTs and IHAVEs of all peers before it",
        cure="one control message per peer, with its own entries",
        place="mesh.Mesh._emit_control_msgs",
    ),
    "ihave_not_in_back_off": Workaround(
        symptom="a peer that was pruned misses messages and never learns of them",
        cause="IHAVE is not sent to peers in back-off",
        cure="any subscriber may be told",
        place="mesh.Mesh.gossip_heartbeat",
    ),
    "cache_ignores_message_ids": Workaround(
        symptom="messages asked for by id are not found",
        cause="MessageCache files messages under source and sequence number, whatever id constructor is set",
        cure="a cache by our content ids",
        place="mesh._ContentCache",
    ),
    "seen_cache_thread": Workaround(
        symptom="a thread per transport is left behind",
        cause="LastSeenCache starts a thread that Pubsub never stops, and extends an id's life on every look",
        cure="a bounded dictionary",
        place="mesh.SeenMessages",
    ),
    "whole_second_sequence_numbers": Workaround(
        symptom="nothing arrives from a restarted peer",
        cause="Pubsub numbers messages from the start's whole second, so numbers repeat and hit the seen-cache",
        cure="ids are of the content, which carries an attempt counter (W4)",
        place="mesh.compute_message_id",
    ),
    "short_subscription_channel": Workaround(
        symptom="bursts lost on the way to the application",
        cause="Pubsub hands messages over a channel of 32 and drops what does not fit",
        cure="no channel: the handler is called with each message",
        place="gossip.Gossip",
    ),
    "short_send_queue": Workaround(
        symptom="bursts lost on the way to a peer",
        cause="RpcQueue holds 32 envelopes and drops what does not fit",
        cure="an outbox bounded in bytes, whose overflows are counted and logged",
        place="gossip.Outbox",
    ),
    "record_in_every_envelope": Workaround(
        symptom="half of the CPU on the gossip path",
        cause="a signed peer record is made for, sent with and verified in every envelope",
        cure="not sent; members and addresses are in the genesis document and the configuration",
        place="gossip.Gossip",
    ),
    "validator_errors_stop_pubsub": Workaround(
        symptom="one bad message and gossip is dead until the restart",
        cause="errors on the way through Pubsub.push_msg leave its service, which then ends",
        cure="a peer's bytes only ever raise PeerBrokeRules, which ends its connection",
        place="gossip.Gossip._on_rpc",
    ),
    "length_read_byte_by_byte": Workaround(
        symptom="CPU",
        cause="frame lengths are read one byte at a time through all layers",
        cure="frames are cut from a buffer",
        place="frames.FrameReader",
    ),
    "unbounded_negotiation": Workaround(
        symptom="a stranger makes us wait for, and store, as much as it likes",
        cause="multistream reads whatever length is announced",
        cure="a handshake has a byte limit and a deadline, and on a stream no name is longer than a name",
        place="sockets.TcpConnection",
    ),
    "silent_write_after_close": Workaround(
        symptom="a dead connection looks alive to its writers",
        cause="TrioTCPStream.write returns as if all were well once the socket is closed",
        cure="it raises",
        place="sockets.TcpConnection.write",
    ),
    "plaintext_offered": Workaround(
        symptom="a client may choose to talk in the clear",
        cause="new_host() offers plaintext, SECIO and TLS next to noise, and mplex next to yamux",
        cure="noise and yamux alone",
        place="handshake.Doorkeeper",
    ),
    "no_member_gate": Workaround(
        symptom="strangers connect",
        cause="the connection gate knows addresses, not identities",
        cure="whoever is no member is closed right after the handshake",
        place="handshake.Doorkeeper",
    ),
    "ignored_listen_failure": Workaround(
        symptom="a node that nobody can reach starts without a complaint",
        cause="a listen address that cannot be bound is skipped with a debug line; two processes may share one port",
        cure="we bind the sockets ourselves and fail",
        place="sockets.open_listener",
    ),
    "inbound_slots_never_returned": Workaround(
        symptom="inbound connections refused after a while",
        cause="an inbound connection keeps its slot until the host stops, however short it was",
        cure="slots are for handshakes, and are given back",
        place="handshake.Doorkeeper",
    ),
    "negative_dial_cache": Workaround(
        symptom="a peer is unreachable for a minute after one failed dial",
        cause="Swarm remembers failures for 60 s",
        cure="we dial, with our own back-off",
        place="supervisor.Supervisor",
    ),
    "dial_head_start": Workaround(
        symptom="dials take 250 ms more than they need",
        cause="a head start for another transport that we do not have",
        cure="we dial TCP directly",
        place="sockets.dial",
    ),
    "unguarded_stream_handlers": Workaround(
        symptom="an error in one stream's handler stops the host",
        cause="nothing catches it between the handler and the connection's nursery",
        cure="a handler's failure resets its stream",
        place="requests._HandlerFailures",
    ),
    "window_overrun_only_logged": Workaround(
        symptom="memory grows under a peer that ignores flow control",
        cause="Yamux warns and stores what comes",
        cure="the connection ends and the peer is banned",
        place="muxer.MuxedStream.on_frame",
    ),
    "five_second_window_wait": Workaround(
        symptom="a slow reader's response breaks after five seconds",
        cause="Yamux gives up on a closed window after 5 s, and asks every 10 ms whether it has opened",
        cure="the writer sleeps until it opens; the deadline is the request's",
        place="muxer.MuxedStream.write",
    ),
    "close_waits_for_the_peer": Workaround(
        symptom="a frozen peer cannot be disconnected",
        cause="Yamux.close sends a farewell first, behind whatever blocks the writer",
        cure="the socket is closed, which needs nobody",
        place="sockets.TcpConnection.abort",
    ),
    "goes_on_after_write_error": Workaround(
        symptom="a loop of 10 ms steps after a peer died",
        cause="Yamux takes ConnectionClosedError for temporary",
        cure="any error of the connection ends it",
        place="muxer.Muxer.run",
    ),
    "pings_without_deadline": Workaround(
        symptom="a frozen peer is never noticed",
        cause="Yamux pings every 30 s and draws no conclusion from silence",
        cure="pings with a deadline",
        place="muxer.Muxer._ping_loop",
    ),
    "heavy_package_code": Workaround(
        symptom="a daemon takes half a second and 25 MB more than it needs",
        cause="importing anything of libp2p runs the package's own code, which imports every transport and discovery",
        cure="the daemon enters the modules that it uses without running that code",
        place="node.lean_import.skip_package_code",
    ),
    "faults_of_any_class": Workaround(
        symptom="a broken peer looks like a broken program",
        cause="the library raises bare exceptions, and its dependencies their own",
        cure="each call is enclosed and raises LinkFailed",
        place="faults.library_faults",
    ),
}


def check_library_version() -> None:
    """Log a warning when the library is not the one that the entries were checked on."""
    installed = version("libp2p")
    if installed != CHECKED_VERSION:
        _log.warning("library_version_unchecked", installed=installed, checked=CHECKED_VERSION)


def quiet_library_logs() -> None:
    """Keep the library's own log lines away from the operator, unless its debugging variable asks for them."""
    if "LIBP2P_DEBUG" not in os.environ:
        logging.getLogger("libp2p").setLevel(logging.CRITICAL + 1)
