"""The cable from one node to another: a relay on loopback through which all connections that the one dials run.

It can be cut in either direction without either end being told. A cut cable forwards nothing and holds what it has,
ends of connections included, until it is mended; where the kernel allows it, it does not even acknowledge (see
:mod:`node.fleet.silence`), and elsewhere the sender's bytes pile up unread and a new connection is answered and then
silent. What a sending kernel had handed over before the cut may still arrive. A cable can also refuse: then its
connections are reset, and so is every new one.
"""

import socket
from typing import Final

import trio

from node.fleet.silence import drop_packets, pass_packets

_CHUNK_BYTES: Final = 65_536
_TCP_ESTABLISHED: Final = 1
_RESET_ON_CLOSE: Final = b"\x01\x00\x00\x00\x00\x00\x00\x00"
"""struct linger (socket(7)): on, for 0 seconds."""
LOOPBACK: Final = "127.0.0.1"


class Gate:
    """One direction of a cable."""

    def __init__(self) -> None:
        """Start open."""
        self.is_open = True
        self._opened = trio.lowlevel.ParkingLot()

    def set(self, *, is_open: bool) -> None:
        """Open or shut."""
        self.is_open = is_open
        if is_open:
            self._opened.unpark_all()

    async def wait_open(self) -> None:
        """Wait while shut."""
        while not self.is_open:
            await self._opened.park()


class _Ear:
    """A socket of the cable that can be made deaf."""

    def __init__(self, heard: trio.socket.SocketType) -> None:
        self._heard = heard
        self._is_deaf = False

    def set(self, *, is_deaf: bool) -> None:
        if is_deaf and not self._is_deaf:
            drop_packets(self._heard)
        if not is_deaf and self._is_deaf:
            pass_packets(self._heard)
        self._is_deaf = is_deaf


class _Wire:
    """One connection through the cable: from the dialler to us, and from us to the listener."""

    def __init__(self, near: trio.SocketStream, far: trio.SocketStream) -> None:
        self.near, self.far = near, far
        self.near_ear, self.far_ear = _Ear(near.socket), _Ear(far.socket)
        self._scope = trio.CancelScope()
        for stream in (near, far):
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def run(self, *, forth: Gate, back: Gate) -> None:
        """Relay until both directions have ended or one end is gone."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._pump, self.near, self.far, forth, back)
                    nursery.start_soon(self._pump, self.far, self.near, back, forth)
        finally:
            self.near.socket.close()
            self.far.socket.close()

    def reset(self) -> None:
        """End the connection so that both ends learn of it as of a failure."""
        reset_on_close(self.near)
        reset_on_close(self.far)
        self._scope.cancel()

    async def _pump(self, source: trio.SocketStream, sink: trio.SocketStream, out: Gate, back: Gate) -> None:
        """Carry bytes one way; news of an end goes the way that its bytes go, and no sooner."""
        while True:
            try:
                data = await source.receive_some(_CHUNK_BYTES)
            except trio.BrokenResourceError:
                await out.wait_open()
                self.reset()
                return
            await out.wait_open()
            try:
                if not data:
                    await sink.send_eof()
                    return
                await sink.send_all(data)
            except trio.BrokenResourceError:
                await back.wait_open()
                self.reset()
                return


class Cable:
    """All connections that one node makes to another."""

    def __init__(self, *, host: str, port: int, can_drop: bool) -> None:
        """Take the cable's own address; nothing is bound before :meth:`open`.

        Args:
            host: The loopback address that the dialler is told, and that the listener sees as the other's.
            port: Of the listener, on 127.0.0.1; the cable has the same one on its own address.
            can_drop: Whether packets may be dropped; otherwise a cut only stops to forward.
        """
        self._host = host
        self._port = port
        self._can_drop = can_drop
        self._forth, self._back = Gate(), Gate()
        self._is_refusing = False
        self._wires: set[_Wire] = set()
        self._listeners: list[trio.SocketListener] = []
        self._ears: list[_Ear] = []

    @property
    def address(self) -> str:
        """What the dialler must be told instead of the listener's own address."""
        return f"/ip4/{self._host}/tcp/{self._port}"

    async def open(self) -> None:
        """Bind the cable's address.

        Raises:
            OSError: It is taken.
        """
        self._listeners += await trio.open_tcp_listeners(self._port, host=self._host)
        self._ears = [_Ear(listener.socket) for listener in self._listeners]

    async def run(self) -> None:
        """Relay connections until cancelled."""
        await trio.serve_listeners(self._serve, self._listeners)

    def set(self, *, forth: bool, back: bool, is_refusing: bool) -> None:
        """Say which directions are whole, from the dialler and to it; one that refuses counts as whole."""
        self._is_refusing = is_refusing
        self._forth.set(is_open=forth or is_refusing)
        self._back.set(is_open=back or is_refusing)
        if is_refusing:
            for wire in tuple(self._wires):
                wire.reset()
        self._tune()

    def _tune(self) -> None:
        """Make each socket as deaf as its direction is cut; no handshake passes a cable that is cut either way."""
        if not self._can_drop:
            return
        for ear in self._ears:
            ear.set(is_deaf=not (self._forth.is_open and self._back.is_open))
        for wire in self._wires:
            wire.near_ear.set(is_deaf=not self._forth.is_open)
            wire.far_ear.set(is_deaf=not self._back.is_open)

    async def _serve(self, near: trio.SocketStream) -> None:
        far = await self._reach(near)
        if far is None:
            reset_on_close(near)
            return
        wire = _Wire(near, far)
        self._wires.add(wire)
        self._tune()
        if self._is_refusing:
            wire.reset()
        try:
            await wire.run(forth=self._forth, back=self._back)
        finally:
            self._wires.discard(wire)

    async def _reach(self, near: trio.SocketStream) -> trio.SocketStream | None:
        """Return a connection to the listener once the cable is whole; None if there is nobody at either end."""
        while not (self._forth.is_open and self._back.is_open):
            await self._forth.wait_open()
            await self._back.wait_open()
        (state,) = near.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        if self._is_refusing or state != _TCP_ESTABLISHED:
            return None
        try:
            return await trio.open_tcp_stream(LOOPBACK, self._port, local_address=self._host)
        except OSError:
            return None


def reset_on_close(stream: trio.SocketStream) -> None:
    """Make closing a socket reset its connection, so that the other end learns of it as of a failure."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
