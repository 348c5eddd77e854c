"""How a failure of one connection, or of the library underneath, becomes an error with a name.

py-libp2p and the packages below it raise whatever comes: bare ``Exception``, ``ValueError``, ``InvalidTag``,
``UnicodeDecodeError``. Every call into it stands inside :class:`library_faults`, so that the rest of this package
catches :class:`LinkFailed` and nothing broader, and so that our own mistakes are never mistaken for a peer's.
"""

from types import TracebackType

from libp2p.io.exceptions import IOException


class LinkFailed(IOException):
    """A connection or a stream is of no use any more; ``reason`` says why, for the log.

    It is one of the library's own I/O errors as well, because the library's protocol negotiation runs over our
    streams and turns errors of that family into its own.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ProtocolUnknown(LinkFailed):
    """The peer answered that it does not speak a protocol. All of ours name the chain (W5)."""


class PeerBrokeRules(LinkFailed):
    """The peer sent what no correct peer sends: drop the connection and lower its score."""


class library_faults:  # noqa: N801 - reads as a statement: with library_faults("handshake")
    """Turn any error of the enclosed library call into :class:`LinkFailed`; cancellation passes."""

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, LinkFailed) or not isinstance(error, Exception):
            return
        raise LinkFailed(f"{self._doing}: {type(error).__name__} {error}".strip()) from error
