"""The API's description in OpenAPI 3.1, made from one table of what can be asked."""

from dataclasses import dataclass
from typing import Final

from node.http.reading import ROUNDS_PAGE_MAX
from node.http.schemas import SCHEMAS, make_list, refer
from node.json_values import JsonObject, JsonValue

API: Final = "/api/v1"
NUMBER_MAX: Final = 10**15
"""Larger numbers of rounds are refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One thing that can be asked."""

    path: str
    summary: str
    answer: JsonObject
    """The schema of the answer."""
    parameters: tuple[JsonObject, ...] = ()
    codes: tuple[tuple[int, str], ...] = ()
    """Further status codes that answer with an error, and what they mean."""
    answer_503: JsonObject | None = None
    """The schema of an answer that says no, if it is not an error's."""


_ROUND_NUMBER: Final[JsonObject] = {"type": "integer", "minimum": 1, "maximum": NUMBER_MAX}
_BAD_NUMBER: Final = ((400, "A parameter is no number, out of range, or given twice."),)

ENDPOINTS: Final = (
    Endpoint(path="/healthz", summary="Whether the daemon lives; for a supervisor.", answer=refer("Health")),
    Endpoint(
        path="/readyz",
        summary="Whether this member takes part: 503 with the reasons if it does not.",
        answer=refer("Readiness"),
        answer_503=refer("Readiness"),
    ),
    Endpoint(path=f"{API}/status", summary="How the node is, and the open round.", answer=refer("Status")),
    Endpoint(path=f"{API}/alerts", summary="What an operator should look at now.", answer=make_list(refer("Alert"))),
    Endpoint(path=f"{API}/peers", summary="Every other member.", answer=make_list(refer("Peer"))),
    Endpoint(
        path=f"{API}/rounds",
        summary="Settled rounds, ascending; without from_round, the latest.",
        answer=make_list(refer("Round")),
        parameters=(
            {"name": "from_round", "in": "query", "schema": _ROUND_NUMBER},
            {
                "name": "limit",
                "in": "query",
                "schema": {"type": "integer", "minimum": 1, "maximum": ROUNDS_PAGE_MAX, "default": ROUNDS_PAGE_MAX},
            },
        ),
        codes=_BAD_NUMBER,
    ),
    Endpoint(
        path=f"{API}/rounds/{{round}}",
        summary="One settled round.",
        answer=refer("Round"),
        parameters=({"name": "round", "in": "path", "required": True, "schema": _ROUND_NUMBER},),
        codes=(*_BAD_NUMBER, (404, "No such round has settled.")),
    ),
    Endpoint(path=f"{API}/stakes", summary="Who holds how much stake now.", answer=refer("Stakes")),
    Endpoint(
        path=f"{API}/stakes/history",
        summary="Who held how much after each of the last rounds.",
        answer=refer("StakeHistory"),
    ),
    Endpoint(path=f"{API}/model", summary="The current model, own scores and lineage.", answer=refer("Model")),
    Endpoint(path=f"{API}/newcomers", summary="Who waits to be admitted.", answer=refer("Newcomers")),
    Endpoint(path=f"{API}/consensus", summary="The latest blocks and failed views.", answer=refer("Consensus")),
)


def build_document(version: str) -> JsonObject:
    """Return the document."""
    paths: JsonObject = {endpoint.path: {"get": _describe(endpoint)} for endpoint in ENDPOINTS}
    paths["/metrics"] = {"get": _describe_text("Metrics for Prometheus.", "text/plain")}
    paths[f"{API}/events"] = {
        "get": {
            **_describe_text("What the node observes, live, as server-sent events.", "text/event-stream"),
            "x-endless": True,
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pnyx node",
            "version": version,
            "description": "Read only. Stake is in micro-tokens, times are in milliseconds since the Unix epoch.",
        },
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }


def _describe(endpoint: Endpoint) -> JsonObject:
    responses: JsonObject = {"200": _answer("What was asked for.", endpoint.answer)}
    for code, meaning in endpoint.codes:
        responses[str(code)] = _answer(meaning, refer("Error"))
    if endpoint.answer_503 is not None:
        responses["503"] = _answer("No, and why.", endpoint.answer_503)
    parameters: list[JsonValue] = list(endpoint.parameters)
    return {"summary": endpoint.summary, "parameters": parameters, "responses": responses}


def _answer(meaning: str, schema: JsonObject) -> JsonObject:
    return {"description": meaning, "content": {"application/json": {"schema": schema}}}


def _describe_text(summary: str, media_type: str) -> JsonObject:
    content: JsonObject = {media_type: {"schema": {"type": "string"}}}
    return {"summary": summary, "responses": {"200": {"description": "Text.", "content": content}}}


