"""What the port refuses before any page sees it, and what every answer carries."""

import pytest

from node.http.guard import is_own_name
from tests.helpers import LedgerBuilder
from tests.node.control_desks import FOUNDERS
from tests.node.http.sites import open_site


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"])
async def test_nothing_but_reading_is_allowed(method: str) -> None:
    builder = LedgerBuilder(founders=FOUNDERS)
    async with open_site(builder) as site:
        for path in ("/api/v1/status", "/", "/nothing"):
            response = await site.client.request(method, path, content=b'{"command": "stop"}')
            assert response.status_code == 405
            assert response.headers["allow"] == "GET, HEAD"
        assert not site.desk.desk.stop_requested.is_set()
        assert site.desk.submitted == []


async def test_a_head_request_has_the_headers_and_no_body() -> None:
    async with open_site(LedgerBuilder(founders=FOUNDERS)) as site:
        response = await site.client.head("/api/v1/status")
        assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:8780", 200),
        ("[::1]:8780", 200),
        ("[::1]", 200),
        ("192.0.2.7:80", 200),
        ("evil.example.org", 421),
        ("localhost.evil.example.org:8780", 421),
        ("127.0.0.1.evil.example.org", 421),
    ],
)
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
async def test_a_name_that_somebody_made_point_here_is_refused(address: str, host: str, status: int) -> None:
    async with open_site(LedgerBuilder(founders=FOUNDERS), host=address) as site:
        response = await site.client.get("/api/v1/status", headers={"host": host})
        assert response.status_code == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("node.example.org", 200),
        ("NODE.example.org:8780", 200),
        ("node.example.org.", 200),
        ("beta", 200),
        ("localhost", 200),
        ("10.0.0.1", 200),
        ("example.org", 421),
        ("evil.node.example.org", 421),
    ],
)
async def test_names_that_the_operator_lists_are_answered_to(host: str, status: int) -> None:
    names = ("Node.Example.org", "beta")
    async with open_site(LedgerBuilder(founders=FOUNDERS), host="0.0.0.0", names=names) as site:
        response = await site.client.get("/api/v1/status", headers={"host": host})
        assert response.status_code == status
        assert status == 200 or "http_hosts" in response.json()["error"]


@pytest.mark.parametrize("name", ["", "LOCALHOST", "10.0.0.1", "[::1]"])
def test_addresses_are_no_names(name: str) -> None:
    assert is_own_name(name)


@pytest.mark.parametrize("path", ["/", "/api/v1/status", "/nothing", "/metrics", "/static/pages.css"])
async def test_every_answer_keeps_other_pages_out_and_the_internet_too(path: str) -> None:
    async with open_site(LedgerBuilder(founders=FOUNDERS)) as site:
        headers = (await site.get(path)).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers
