"""The export as bytes: its genesis document and its frames, or MalformedMessage or InvalidMessage."""

from functools import cache
from io import BytesIO
from typing import Final

from protocol.errors import InvalidMessage, MalformedMessage
from protocol.export import iterate_frames, read_genesis
from tests.fuzz.export_mutation import make_export_mutator
from tests.fuzz.memo import remember_signatures
from tests.fuzz.recording import record
from tests.fuzz.target import Target


def run(data: bytes) -> None:
    """Read an export to its end."""
    source = BytesIO(data)
    try:
        read_genesis(source)
        for _ in iterate_frames(source):
            pass
    except (MalformedMessage, InvalidMessage):
        return


@cache
def make_seeds() -> tuple[bytes, ...]:
    """Return exports of a few blocks."""
    remember_signatures()
    return record().build_export(block_count=0), record().build_export(block_count=3)


TARGET: Final = Target(run=run, seeds=make_seeds, mutate=make_export_mutator(make_seeds()))
