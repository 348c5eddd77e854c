"""The real transport: libp2p over TCP, noise and yamux. The only package that imports libp2p.

Importing it takes more than a second, so only the daemon does, once it needs it.
"""

from node.libp2p_transport.settings import TransportSettings
from node.libp2p_transport.transport import Libp2pTransport, open_transport

__all__ = ["Libp2pTransport", "TransportSettings", "open_transport"]
