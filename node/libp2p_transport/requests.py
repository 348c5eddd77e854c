"""Requests and responses (W5): one stream each, one request frame, any number of response frames, then the end.

A response ends with a frame that says so, therefore a cut stream is never taken for a finished one. Each frame of a
response begins with one byte: more data, the end, or a refusal (too many requests of this peer at a time). The sender
of frames waits while the requester is slow, and gives up after a while.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

import structlog
import trio

from node.errors import PeerMisbehaved, PeerUnreachable
from node.libp2p_transport.faults import LinkFailed, PeerBrokeRules
from node.libp2p_transport.frames import FrameReader, encode_frame
from node.libp2p_transport.muxer import MuxedStream
from node.libp2p_transport.network import Connection, Network, StreamHandler
from node.libp2p_transport.settings import TransportSettings
from node.ports import ReceiveFrame, RequestHandler, Service
from protocol.errors import InvariantViolation
from protocol.units import MemberId, Millis

_MORE: Final = b"\x00"
_END: Final = b"\x01"
_BUSY: Final = b"\x02"

_log = structlog.get_logger(__name__)


class _HandlerFailures:
    """Keeps the failure of one request handler to its own stream; our own invariants still stop the node."""

    def __init__(self, service: Service, member: MemberId) -> None:
        self._service = service
        self._member = member

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, InvariantViolation | LinkFailed):
            return
        _log.error("request_failed", service=self._service.value, member=self._member.hex()[:8], exc_info=error)
        raise LinkFailed("the handler of the request failed") from error


class RequestServer:
    """Serves the requests of all peers."""

    def __init__(self, settings: TransportSettings, services: Mapping[Service, RequestHandler]) -> None:
        self._settings = settings
        self._services = services
        self._running: Counter[tuple[MemberId, Service]] = Counter()

    def get_handlers(self) -> dict[str, StreamHandler]:
        """Return the stream handler of every service, by protocol."""
        return {self._settings.get_service_protocol(service): self._make_handler(service) for service in self._services}

    def _make_handler(self, service: Service) -> StreamHandler:
        async def serve(connection: Connection, stream: MuxedStream) -> None:
            await self._serve(service, connection.member, stream)

        return serve

    async def _serve(self, service: Service, member: MemberId, stream: MuxedStream) -> None:
        request = None
        with trio.move_on_after(self._settings.request_idle_ms / 1000):
            request = await FrameReader(stream, frame_bytes_max=self._settings.frame_bytes_max).read_frame()
        if request is None:
            raise LinkFailed("no request came")
        place = (member, service)
        if self._running[place] >= self._settings.requests_per_peer_max:
            await stream.write(encode_frame(_BUSY))
            await stream.close()
            return
        self._running[place] += 1
        try:
            await self._answer(service, member, request, stream)
        finally:
            self._running[place] -= 1
            if not self._running[place]:
                del self._running[place]

    async def _answer(self, service: Service, member: MemberId, request: bytes, stream: MuxedStream) -> None:
        idle_s = self._settings.request_idle_ms / 1000

        async def send(frame: bytes) -> None:
            if len(frame) > self._settings.frame_bytes_max:
                raise InvariantViolation(f"a response frame of {len(frame)} bytes is over the limit")
            with trio.move_on_after(idle_s) as deadline:
                await stream.write(encode_frame(_MORE + frame))
            if deadline.cancelled_caught:
                raise LinkFailed("the requester reads too slowly")

        with _HandlerFailures(service, member):
            await self._services[service](member, request, send)
        with trio.move_on_after(idle_s):
            await stream.write(encode_frame(_END))
            await stream.close()


class RequestClient:
    """Sends requests to other members."""

    def __init__(self, settings: TransportSettings, network: Network) -> None:
        self._settings = settings
        self._network = network
        self._limiters: dict[tuple[MemberId, Service], trio.Semaphore] = {}

    async def request(
        self, member: MemberId, service: Service, request: bytes, receive: ReceiveFrame, *, timeout_ms: Millis
    ) -> None:
        """Ask one member; see :meth:`node.ports.Transport.request`."""
        if len(request) > self._settings.frame_bytes_max:
            raise InvariantViolation(f"a request of {len(request)} bytes is over the limit")
        limiter = self._limiters.setdefault((member, service), trio.Semaphore(self._settings.requests_per_peer_max))
        name = member.hex()[:8]
        with trio.move_on_after(timeout_ms / 1000) as deadline:
            try:
                async with limiter:
                    await self._exchange(member, service, request, receive)
            except PeerBrokeRules as error:
                raise PeerMisbehaved(f"{service.value} request to {name}: the peer {error.reason}") from error
            except LinkFailed as error:
                raise PeerUnreachable(f"{service.value} request to {name}: {error.reason}") from error
        if deadline.cancelled_caught:
            raise PeerUnreachable(f"{service.value} request to {name}: no complete answer within {timeout_ms} ms")

    def forget(self, member: MemberId) -> None:
        """Drop the limits of somebody who is no member any more; what is under way fails with its connection."""
        for service in Service:
            self._limiters.pop((member, service), None)

    async def _exchange(self, member: MemberId, service: Service, request: bytes, receive: ReceiveFrame) -> None:
        stream = await self._network.open_stream(member, self._settings.get_service_protocol(service))
        try:
            await stream.write(encode_frame(request))
            await stream.close()
            frames = FrameReader(stream, frame_bytes_max=self._settings.frame_bytes_max + len(_MORE))
            while True:
                frame = await frames.read_frame()
                if frame is None:
                    raise LinkFailed("the stream was cut before its end")
                match frame[:1]:
                    case b"\x00":
                        await receive(frame[1:])
                    case b"\x01":
                        return
                    case b"\x02":
                        raise LinkFailed("busy: too many requests at a time")
                    case _:
                        raise PeerBrokeRules("sent a frame of no known kind")
        finally:
            stream.reset_nowait()
