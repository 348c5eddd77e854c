"""What every request passes first: nothing but reading, from no page but ours.

A page that somebody's browser has open elsewhere must not read a node on the same machine. Browsers keep the answers
from it, since nothing here allows other origins; and a name that is made to point here (DNS rebinding) is refused,
because a node answers to addresses, to ``localhost`` and to the names that its operator lists, on every address alike.
"""

import ipaddress
import json
from collections.abc import Collection
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS: Final = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        b" base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_OTHER_NAME: Final = (
    "this node answers to localhost, to addresses, and to the names that http_hosts in its config.toml lists"
    " (PNYX_HTTP_HOSTS): add the name by which you asked, if it is the node's"
)
_METHODS: Final = frozenset({"GET", "HEAD"})


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, *, names: Collection[str]) -> None:
        """Take what is guarded, and the names that it answers to besides addresses and localhost."""
        self._app = app
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on and add headers to the answer."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        if scope["type"] != "http":
            # Neither websockets nor anything else is served; to close it is the answer.
            await send({"type": "websocket.close", "code": 1_008})
        elif scope["method"] not in _METHODS:
            await _refuse(send_guarded, 405, "only GET and HEAD: this port reads", [(b"allow", b"GET, HEAD")])
        elif not is_own_name(_get_host(scope), self._names):
            await _refuse(send_guarded, 421, _OTHER_NAME)
        else:
            await self._app(scope, receive, send_guarded)


def is_own_name(host: str, names: Collection[str] = ()) -> bool:
    """Return whether a Host header has an address, localhost or one of the names, so that no other DNS entry led here.

    Args:
        host: The header, with or without a port.
        names: In lower case.
    """
    name = host.rsplit(":", 1)[0] if not host.endswith("]") and ":" in host else host
    if name.lower() in {"", "localhost"} or name.lower().removesuffix(".") in names:
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _get_host(scope: Scope) -> str:
    headers: list[tuple[bytes, bytes]] = list(scope["headers"])
    return next((value.decode("latin-1") for name, value in headers if name == b"host"), "")


async def _refuse(send: Send, status: int, error: str, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    body = json.dumps({"error": error}).encode()
    fields = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *(headers or ())]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})
