"""The pages of the port, each a function of the node's present: nothing here can change it."""

import json
import re
from collections.abc import Awaitable, Callable, Collection
from importlib.resources import files
from typing import Final, TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from node.errors import NodeError
from node.http.events import EventStreams
from node.http.guard import Guard
from node.http.metrics import CONTENT_TYPE, format_metrics
from node.http.openapi import API, NUMBER_MAX, build_document
from node.http.reading import ROUNDS_PAGE_MAX, Reading
from node.json_values import JsonValue
from node.observations import ObservationHub

_Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

ASSETS: Final = {
    "/": ("dashboard.html", "text/html"),
    "/docs": ("docs.html", "text/html"),
    "/static/dashboard.js": ("dashboard.js", "text/javascript"),
    "/static/charts.js": ("charts.js", "text/javascript"),
    "/static/parts.js": ("parts.js", "text/javascript"),
    "/static/docs.js": ("docs.js", "text/javascript"),
    "/static/pages.css": ("pages.css", "text/css"),
    "/static/icon.svg": ("icon.svg", "image/svg+xml"),
    "/favicon.ico": ("icon.svg", "image/svg+xml"),
}
"""Every file that is served, by its path; there is no folder to wander in."""


def build_app(reading: Reading, hub: ObservationHub, *, version: str, names: Collection[str]) -> ASGIApp:
    """Return the application.

    Args:
        reading: What the pages show.
        hub: Where live events come from.
        version: Of the program.
        names: What it is called, besides addresses and localhost.
    """
    document = _encode(build_document(version))
    pages = _Pages(reading)
    endpoints: dict[str, _Endpoint] = {
        "/healthz": pages.tell_health,
        "/readyz": pages.tell_readiness,
        "/metrics": pages.tell_metrics,
        "/openapi.json": _serve_constant(document, "application/json"),
        f"{API}/status": _serve(reading.describe_status),
        f"{API}/alerts": _serve(lambda: list[JsonValue](reading.describe_alerts())),
        f"{API}/peers": _serve(lambda: list[JsonValue](reading.describe_peers())),
        f"{API}/rounds": pages.tell_rounds,
        f"{API}/rounds/{{round}}": pages.tell_round,
        f"{API}/stakes": _serve(reading.describe_stakes),
        f"{API}/stakes/history": _serve(reading.describe_history),
        f"{API}/model": _serve(reading.describe_model),
        f"{API}/newcomers": _serve(reading.describe_newcomers),
        f"{API}/consensus": _serve(reading.describe_consensus),
    }
    for path, (name, media_type) in ASSETS.items():
        endpoints[path] = _serve_constant((files("node.http") / "static" / name).read_bytes(), media_type)
    routes = [Route(path, endpoint) for path, endpoint in endpoints.items()]
    routes.append(Route(f"{API}/events", EventStreams(reading, hub)))
    app = Starlette(routes=routes, exception_handlers={HTTPException: _on_refusal, NodeError: _on_trouble})
    # A redirect would go to whatever host the request named.
    app.router.redirect_slashes = False
    return Guard(app, names=names)


class _Pages:
    """The pages that are more than one description."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    async def tell_health(self, _request: Request) -> Response:
        return answer({"status": "alive"})

    async def tell_readiness(self, _request: Request) -> Response:
        reasons: list[JsonValue] = [alert.text for alert in self._reading.find_alerts() if alert.is_blocking]
        return answer({"is_ready": not reasons, "reasons": reasons}, status=503 if reasons else 200)

    async def tell_metrics(self, _request: Request) -> Response:
        return Response(format_metrics(self._reading), media_type=CONTENT_TYPE)

    async def tell_rounds(self, request: Request) -> Response:
        limit = _read_number(request, "limit", highest=ROUNDS_PAGE_MAX)
        from_round = _read_number(request, "from_round", highest=NUMBER_MAX)
        found = self._reading.describe_rounds(from_round, limit=ROUNDS_PAGE_MAX if limit is None else limit)
        return answer(list[JsonValue](found))

    async def tell_round(self, request: Request) -> Response:
        number = _parse_number(str(request.path_params["round"]), "round", highest=NUMBER_MAX)
        found = self._reading.describe_rounds(number, limit=1)
        if not found:
            raise HTTPException(404, f"round {number} has not settled")
        return answer(found[0])


def answer(value: JsonValue, *, status: int = 200) -> Response:
    """Return a JSON answer that nobody keeps."""
    return Response(
        _encode(value), status_code=status, media_type="application/json", headers={"cache-control": "no-store"}
    )


def _encode(value: JsonValue) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _serve(describe: Callable[[], JsonValue]) -> _Endpoint:
    async def tell(_request: Request) -> Response:
        return answer(describe())

    return tell


def _serve_constant(content: bytes, media_type: str) -> _Endpoint:
    async def tell(_request: Request) -> Response:
        return Response(content, media_type=media_type, headers={"cache-control": "no-cache"})

    return tell


def _read_number(request: Request, name: str, *, highest: int) -> int | None:
    values = request.query_params.getlist(name)
    if len(values) > 1:
        raise HTTPException(400, f"{name} is given twice")
    return _parse_number(values[0], name, highest=highest) if values else None


def _parse_number(text: str, name: str, *, highest: int) -> int:
    if not re.fullmatch(r"[0-9]{1,16}", text, re.ASCII) or not 1 <= int(text) <= highest:
        raise HTTPException(400, f"{name} must be a number from 1 to {highest}")
    return int(text)


async def _on_refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return answer({"error": error.detail}, status=error.status_code)


async def _on_trouble(_request: Request, _error: Exception) -> Response:
    """Tell no more than that there is trouble: the error's text may name files."""
    return answer({"error": "the node cannot read its own ledger; its log says why"}, status=503)
