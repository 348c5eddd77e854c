"""The API under requests that a fuzzer makes from its own description: no 5xx, and answers of the described shape.

Every operation gets requests as described and requests that break the description, and each answer is held against the
status codes, media types and schemas of the document.
"""

import queue
import threading
from collections.abc import Iterator

import pytest
import schemathesis
import trio
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from node.http.openapi import ENDPOINTS
from tests.helpers import LedgerBuilder
from tests.node.control_desks import FOUNDERS
from tests.node.http.sites import open_site

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]


PATHS = [*(endpoint.path for endpoint in ENDPOINTS), "/metrics"]


async def _serve(started: "queue.Queue[int]", ended: threading.Event) -> None:
    builder = LedgerBuilder(founders=FOUNDERS)
    builder.run_round()
    builder.run_round(is_accept=False)
    builder.run_draw()
    async with open_site(builder) as site:
        for keys in FOUNDERS[2:]:
            site.desk.connect(keys.member)
        started.put(site.port)
        await trio.to_thread.run_sync(ended.wait)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    started: queue.Queue[int] = queue.Queue()
    ended = threading.Event()
    thread = threading.Thread(target=trio.run, args=(_serve, started, ended))
    thread.start()
    yield started.get(timeout=30)
    ended.set()
    thread.join()


@pytest.fixture(scope="module")
def api(port: int) -> schemathesis.BaseSchema:
    loaded = schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json")
    # An endless answer is for a test of its own.
    return loaded.exclude(path="/api/v1/events")


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        *((path, GenerationMode.POSITIVE) for path in PATHS),
        # Without a parameter there is nothing to break.
        *((endpoint.path, GenerationMode.NEGATIVE) for endpoint in ENDPOINTS if endpoint.parameters),
    ],
)
def test_no_request_breaks_an_endpoint(api: schemathesis.BaseSchema, path: str, mode: GenerationMode) -> None:
    @settings(
        max_examples=15,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(api[path]["GET"].as_strategy(generation_mode=mode))
    def search(case: object) -> None:
        assert isinstance(case, schemathesis.Case)
        case.call_and_validate(checks=CHECKS)

    search()


def test_the_fuzzer_sees_every_endpoint(api: schemathesis.BaseSchema) -> None:
    paths = {found.ok().path for found in api.get_all_operations() if isinstance(found, Ok)}
    assert paths == set(PATHS)


def test_the_checks_notice_an_answer_of_another_shape(api: schemathesis.BaseSchema) -> None:
    case = api["/api/v1/stakes"]["GET"].Case()
    case.validate_response(case.call(), checks=CHECKS)
    wrong = case.call()
    wrong.content = wrong.content.replace(b'"supply":', b'"sply":')
    with pytest.raises(FailureGroup, match="supply"):
        case.validate_response(wrong, checks=CHECKS)
