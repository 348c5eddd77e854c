"""The audit of a changed export: it finds the first wrong thing and says so with AuditFailure, and nothing else.

Half of the changes are signed again by everybody's keys, so that they reach what executes operations.
"""

import random
from dataclasses import replace
from functools import cache
from io import BytesIO
from typing import Final, cast

from protocol.audit import AuditFailure, verify_export
from protocol.codec import decode_union, encode_union
from protocol.errors import MalformedMessage
from protocol.export import EXPORT_FRAME_BYTES_MAX, ExportedBlock, ExportFrame
from tests.fuzz.bytes_mutation import EDGES
from tests.fuzz.export_mutation import make_export_mutator, split_frames
from tests.fuzz.memo import remember_signatures
from tests.fuzz.msgpack_mutation import make_msgpack_mutator, pack, parse
from tests.fuzz.recording import record
from tests.fuzz.signing import Signer, make_signer
from tests.fuzz.target import Mutator, Target

HEADER_SHARE: Final = 0.3
"""How many changes write a number at an edge into a block's header; by itself that is hardly ever hit."""


def run(data: bytes) -> None:
    """Audit an export."""
    try:
        verify_export(BytesIO(data))
    except AuditFailure:
        return


@cache
def make_seeds() -> tuple[bytes, ...]:
    """Return exports with every certificate, with some, and of no block."""
    remember_signatures()
    return (
        record().build_export(block_count=0),
        record().build_export(block_count=2),
        record().build_export(block_count=12, certified_every=4),
    )


@cache
def _get_signer() -> Signer:
    return make_signer(record(), record().keys)


def _sign_frame(frame: bytes) -> bytes:
    try:
        decoded = cast(ExportFrame, decode_union(ExportFrame, frame, bytes_max=EXPORT_FRAME_BYTES_MAX))
    except MalformedMessage:
        return frame
    if not isinstance(decoded, ExportedBlock):
        return frame
    signer = _get_signer()
    led = replace(decoded.block, header=signer.lead(decoded.block.header))
    block = signer.sign_block(led)
    certificate = None if decoded.certificate is None else signer.finalize(block)
    return encode_union(replace(decoded, block=block, certificate=certificate), ExportFrame)


def _change_number(frame: bytes, chance: random.Random) -> bytes:
    """Write an edge into one of a block's own numbers, and have it signed and certified again."""
    tree = parse(frame)
    match tree:
        case [int(), [list(header), *_], *_]:
            places = [place for place, value in enumerate(header) if isinstance(value, int)]
        case _:
            return frame
    if places:
        header[chance.choice(places)] = chance.choice(EDGES)
    changed = pack(tree)
    return frame if changed is None else _sign_frame(changed)


def _make_mutator() -> Mutator:
    frames = [frame for seed in make_seeds() for frame in split_frames(seed) or ()]
    change = make_msgpack_mutator(frames)

    def change_frame(frame: bytes, chance: random.Random) -> bytes:
        if chance.random() < HEADER_SHARE:
            return _change_number(frame, chance)
        changed = change(frame, chance)
        return _sign_frame(changed) if chance.random() < 0.5 else changed

    return make_export_mutator(make_seeds(), change_frame)


TARGET: Final = Target(run=run, seeds=make_seeds, mutate=_make_mutator())
