"""Members that keep the rules of consensus and lie to whoever asks them for blocks, progress or artifacts (W5, W6)."""

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import trio

from node.ports import RequestHandler, SendFrame, Service
from node.services import Progress
from protocol.codec import encode
from protocol.units import Height, MemberId, View

Lie: TypeAlias = Callable[[bytes, SendFrame], Awaitable[None]]
"""Sends something else instead of one frame."""


async def send_garbage(frame: bytes, send: SendFrame) -> None:
    """Send as many other bytes."""
    await send(bytes(len(frame)))


async def flip_bit(frame: bytes, send: SendFrame) -> None:
    """Send the frame with one bit changed."""
    changed = bytearray(frame)
    if changed:
        changed[len(changed) // 2] ^= 1
    await send(bytes(changed))


async def cut_short(frame: bytes, send: SendFrame) -> None:
    """Send all but the last byte."""
    await send(frame[:-1])


async def send_twice(frame: bytes, send: SendFrame) -> None:
    """Send more than was asked for."""
    await send(frame)
    await send(frame)


async def send_endlessly(frame: bytes, send: SendFrame) -> None:
    """Never stop sending."""
    while True:
        await send(frame)
        await trio.sleep(0.01)


async def stall(_frame: bytes, _send: SendFrame) -> None:
    """Keep the requester waiting for ever."""
    await trio.sleep_forever()


async def keep_back(_frame: bytes, _send: SendFrame) -> None:
    """Pretend not to have it."""


async def boast(_frame: bytes, send: SendFrame) -> None:
    """Claim to be far ahead of everybody; garbage to whoever asked for something else."""
    await send(encode(Progress(height=Height(2**62), view=View(2**62), votes=())))


LIES: Final[tuple[Lie, ...]] = (
    send_garbage,
    flip_bit,
    cut_short,
    send_twice,
    send_endlessly,
    stall,
    keep_back,
    boast,
)


def make_liar(services: Mapping[Service, RequestHandler], chance: random.Random) -> dict[Service, RequestHandler]:
    """Return services of which each tells a lie of its own about half of the time."""
    return {service: _make_lying(handler, chance) for service, handler in sorted(services.items())}


def _make_lying(handler: RequestHandler, chance: random.Random) -> RequestHandler:
    lie = chance.choice(LIES)

    async def answer(requester: MemberId, request: bytes, send: SendFrame) -> None:
        async def send_or_lie(frame: bytes) -> None:
            if chance.random() < 0.5:
                await lie(frame, send)
            else:
                await send(frame)

        await handler(requester, request, send_or_lie)

    return answer
