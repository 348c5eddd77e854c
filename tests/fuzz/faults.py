"""Shows that every target can fail: ``python -m tests.fuzz.faults``.

Puts one fault after the other into a copy of the code, and measures how long the search needs to find it.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fuzz.campaign import ROOT, Outcome, build_share_limits, run_target

SECONDS: Final = 120
COPIED: Final = ("protocol", "node", "tests", "cli.py")
TIMEOUT_S: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One line that is wrong."""

    target: str
    what: str
    path: str
    old: str
    """Occurs once in the file."""
    new: str


FAULTS: Final = (
    Fault(
        target="wire",
        what="other encodings of a value are taken, too",
        path="protocol/codec.py",
        old="if _pack(coder.to_plain(value)) != encoded:",
        new="if False:",
    ),
    Fault(
        target="wire",
        what="an error prints whatever stands where an integer belongs",
        path="protocol/codec.py",
        old='return str(plain) if type(plain) is int else f"a {type(plain).__name__}"',
        new='return f"{plain!r:.40}"',
    ),
    Fault(
        target="export",
        what="the end of the file is waited for",
        path="protocol/export.py",
        old="        if not piece:\n            raise MalformedMessage",
        new="        if piece is None:\n            raise MalformedMessage",
    ),
    Fault(
        target="audit",
        what="an invalid message ends the audit in the wrong way",
        path="protocol/audit.py",
        old="    except (MalformedMessage, InvalidMessage) as error:\n        height",
        new="    except MalformedMessage as error:\n        height",
    ),
    Fault(
        target="audit",
        what="a block may be so late that a deadline after it has no encoding",
        path="protocol/ledger/transition.py",
        old="if header.time_ms > LEDGER_TIME_MAX_MS:",
        new="if header.time_ms < 0:",
    ),
    Fault(
        target="schema",
        what="a header is made for a schema that nobody has checked",
        path="protocol/learning/artifact_format.py",
        old="    check_schema(schema)\n    specs, dtype_name",
        new="    specs, dtype_name",
    ),
    Fault(
        target="chunks",
        what="a chunk list may be shorter than the artifact's size",
        path="node/artifacts/chunk_list.py",
        old="if len(encoded) < _SIZE_BYTES:",
        new="if not encoded:",
    ),
    Fault(
        target="services",
        what="heights go to SQLite as they come",
        path="node/store/reader.py",
        old="return max(-_COLUMN_MAX, min(number, _COLUMN_MAX))",
        new="return number",
    ),
    Fault(
        target="streams",
        what="a frame may be of any length",
        path="node/libp2p_transport/frames.py",
        old="if length > self._frame_bytes_max:",
        new="if length < 0:",
    ),
    Fault(
        target="muxer",
        what="nobody keeps to the window",
        path="node/libp2p_transport/muxer.py",
        old="if length > self._receive_window:",
        new="if length < 0:",
    ),
    Fault(
        target="gossip",
        what="a peer's own topics are remembered",
        path="node/libp2p_transport/gossip.py",
        old="        if topic not in self._topics:\n            return\n",
        new="",
    ),
    Fault(
        target="negotiation",
        what="a protocol's name may be of any length",
        path="node/libp2p_transport/negotiation.py",
        old="if n is None or n > NAME_BYTES_MAX:",
        new="if n is None:",
    ),
    Fault(
        target="handshake",
        what="whoever has a key comes in",
        path="node/libp2p_transport/handshake.py",
        old="        self.check_welcome(member, address, is_outbound=False)\n        return member",
        new="        return member",
    ),
    Fault(
        target="answers",
        what="a chunk is written as it comes",
        path="node/artifacts/partial.py",
        old="        chunks.check_chunk(index, chunk)\n        self._is_new = False",
        new="        self._is_new = False",
    ),
    Fault(
        target="control",
        what="a request is parsed however deep it is",
        path="node/control.py",
        old="except RecursionError:",
        new="except MemoryError:",
    ),
    Fault(
        target="documents",
        what="settings are parsed however deep they are",
        path="node/toml_documents.py",
        old="except RecursionError as error:",
        new="except MemoryError as error:",
    ),
    Fault(
        target="documents",
        what="settings are printed however deep they are",
        path="node/toml_documents.py",
        old="    check_nesting(values, where=where)\n",
        new="",
    ),
    Fault(
        target="pipe",
        what="the end of the pipe is taken for an empty request",
        path="node/worker/messages.py",
        old="if len(header) < FRAME_LENGTH_BYTES or length > FRAME_BYTES_MAX:",
        new="if length > FRAME_BYTES_MAX:",
    ),
    Fault(
        target="tensors",
        what="NaN is handed to the model",
        path="node/worker/artifacts.py",
        old="            _check_finite(place, weights)\n                put_slice",
        new="            put_slice",
    ),
    Fault(
        target="rows",
        what="a block's row is not compared with its own hash",
        path="node/store/rows.py",
        old="if compute_block_hash(chain_id, block.header) != row.block_hash or block.header.height != row.height:",
        new="if block.header.height != row.height:",
    ),
    Fault(
        target="admission",
        what="votes reach consensus unverified",
        path="protocol/admission.py",
        old="        for vote in checked:\n            check_vote(self._chain_id, vote)\n",
        new="",
    ),
    Fault(
        target="engine",
        what="votes of any view are kept",
        path="protocol/consensus/machine.py",
        old="elif self.tree.tip.view - EVIDENCE_VIEWS < vote.view <= self.view + VIEW_WINDOW:",
        new="elif vote.view > 0:",
    ),
    Fault(
        target="engine",
        what="a block's operations are not looked at before the vote",
        path="protocol/consensus/machine.py",
        old="            self._application.check_operations(proposal.block)\n",
        new="",
    ),
    Fault(
        target="engine",
        what="a node votes to finalize what it has given up",
        path="protocol/consensus/own_votes.py",
        old="return self.is_allowed(view) and not self.has_cast(view, *EXCLUDED_BY[kind])",
        new="return self.is_allowed(view) and not self.has_cast(view, kind)",
    ),
    Fault(
        target="engine",
        what="a certificate is taken whatever its epoch",
        path="protocol/consensus/machine.py",
        old="if certificate.epoch != self.config.validators.epoch or certificate.view <= self.tree.tip.view:",
        new="if certificate.view <= self.tree.tip.view:",
    ),
    Fault(
        target="engine",
        what="a block may say what time it likes",
        path="protocol/consensus/checks.py",
        old="if header.time_ms <= parent.time_ms:",
        new="if header.time_ms < 0:",
    ),
)


def spoil(fault: Fault) -> str:
    """Return the text of a fault's module with the fault in it.

    Raises:
        ValueError: The line that it changes is not there any more: change the table with the code.
    """
    text = (ROOT / fault.path).read_text(encoding="utf-8")
    if text.count(fault.old) != 1:
        raise ValueError(f"{fault.path} has {text.count(fault.old)} times: {fault.old}")
    return text.replace(fault.old, fault.new)


def try_fault(fault: Fault, *, limits: Sequence[str], folder: Path) -> tuple[Outcome, float]:
    """Return what came of fuzzing a copy of the code with a fault in it, and how many seconds it took.

    Args:
        fault: What is wrong in the copy.
        limits: Of the search, as :mod:`tests.fuzz.one` takes them.
        folder: Where the copy goes.
    """
    copy = folder / "copy"
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    (copy / fault.path).write_text(spoil(fault), encoding="utf-8")
    begin_s = time.monotonic()
    outcome = run_target(fault.target, home=folder / "home", limits=limits, timeout_s=TIMEOUT_S, root=copy)
    took_s = time.monotonic() - begin_s
    return outcome, took_s


def main() -> None:
    """Try every fault, or those of one target, and print a line for each."""
    parser = argparse.ArgumentParser(description="measure how long the search needs to find faults")
    parser.add_argument("--target", help="only faults of this one")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="how long to search for each at the most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", action="store_true", help="search no further than `make test` does")
    given = parser.parse_args()
    chosen = [fault for fault in FAULTS if given.target in {None, fault.target}]
    found = 0
    for fault in chosen:
        searched = ["--seconds", str(given.seconds), "--seed", str(given.seed)]
        limits = build_share_limits(fault.target) if given.share else searched
        with tempfile.TemporaryDirectory(prefix="pnyx-fault-") as name:
            outcome, took_s = try_fault(fault, limits=limits, folder=Path(name))
        is_found = outcome.failure is not None
        found += is_found
        state = f"found in {took_s:5.1f} s" if is_found else "NOT FOUND     "
        print(f"{fault.target:12} {state} {outcome.executions:>7} executions  {fault.what}", flush=True)
    print(f"faults: found {found} of {len(chosen)}")
    sys.exit(found != len(chosen))


if __name__ == "__main__":
    main()
