"""Every target, by name. A target's module is imported only where the target runs, so that each pays for its own."""

from dataclasses import dataclass
from importlib import import_module
from typing import Final

from tests.fuzz.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where a target is, and what may come out of it."""

    module: str
    what: str
    runs: int
    """How many inputs are tried in CI, the first ones among them, besides the regressions."""


def _make_entry(module: str, what: str, *, runs: int) -> Entry:
    return Entry(module=f"tests.fuzz.targets.{module}", what=what, runs=runs)


TARGETS: Final[dict[str, Entry]] = {
    "wire": _make_entry("wire", "every class of message and record: a value, or MalformedMessage", runs=20_000),
    "services": _make_entry("services", "requests of members: MalformedMessage, or a bounded answer", runs=5_000),
    "export": _make_entry("export", "exports as bytes: frames, MalformedMessage or InvalidMessage", runs=5_000),
    "audit": _make_entry("audit", "the audit of changed exports: a report or AuditFailure", runs=1_500),
    "schema": _make_entry("schema", "schemas and artifact headers: InvalidMessage", runs=10_000),
    "chunks": _make_entry("chunks", "chunk lists and chunks: InvalidMessage", runs=10_000),
    "streams": _make_entry("streams", "frames, requests and responses on a stream: LinkFailed", runs=3_000),
    "muxer": _make_entry("muxer", "bytes on a secured connection: LinkFailed, within bounds", runs=2_000),
    "gossip": _make_entry("gossip", "gossip envelopes of a member: LinkFailed, within bounds", runs=1_000),
    "negotiation": _make_entry("negotiation", "the choice of a protocol on a stream: LinkFailed", runs=1_000),
    "handshake": _make_entry("handshake", "strangers at the door: LinkFailed, or a member", runs=300),
    "answers": _make_entry("answers", "answers of members: taken, or their sender charged", runs=500),
    "control": _make_entry("control", "lines on the control socket: every request is answered", runs=1_000),
    "documents": _make_entry("documents", "settings, cards, files of a genesis, addresses: ConfigError", runs=4_000),
    "pipe": _make_entry("pipe", "requests on the worker's pipe: MalformedMessage", runs=10_000),
    "tensors": _make_entry("tensors", "artifacts that the worker reads: InvalidMessage, NotFiniteError", runs=1_500),
    "rows": _make_entry("rows", "rows of the database: StoreCorrupt", runs=3_000),
    "admission": _make_entry("admission", "gossip that is judged, in several epochs: nothing changes", runs=2_500),
    "engine": _make_entry("engine", "the core under a member that lies: nothing raised, nobody framed", runs=1_500),
}


def load_target(name: str) -> Target:
    """Return a target."""
    target = import_module(TARGETS[name].module).TARGET
    assert isinstance(target, Target)
    return target
