"""The addresses that people write down for nodes: TCP multiaddresses."""

import re
from typing import Final

_ADDRESS: Final = re.compile(
    r"/(?:ip4/[0-9.]{7,15}|ip6/[0-9a-fA-F:.]{2,45}|dns[46]?/[A-Za-z0-9._-]{1,253})/tcp/([0-9]{1,5})", re.ASCII
)
_PORT_MAX: Final = 65_535


def check_address(address: object) -> None:
    """Check that a value looks like a TCP multiaddress; whether it can be reached shows when it is dialled.

    Raises:
        ValueError: It does not; the message shows how to write one.
    """
    match = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
    if match is None or int(match.group(1)) > _PORT_MAX:
        raise ValueError(f"{address!r:.80} is no address: write it like /ip4/192.0.2.7/tcp/4001 or /dns4/HOST/tcp/4001")
