"""What the port answers: health, readiness, metrics and the JSON API, on a real port."""

import re

import pytest

from node.control_desk import ROUNDS_MAX
from node.http import reading
from node.http.openapi import ENDPOINTS
from node.json_values import get_list, get_object
from node.observations import describe_round
from protocol.interface import Persist
from protocol.journal import ScoreRecord
from protocol.ledger.state import compute_state_root
from protocol.units import Ppm
from tests.helpers import LedgerBuilder, make_digest
from tests.node.control_desks import FOUNDERS
from tests.node.http.sites import open_site


def build_ledger() -> LedgerBuilder:
    builder = LedgerBuilder(founders=FOUNDERS)
    builder.run_round()
    builder.run_round(is_accept=False)
    builder.run_draw()
    return builder


async def test_a_daemon_that_answers_is_alive_even_if_it_is_not_ready() -> None:
    async with open_site(build_ledger()) as site:
        assert (await site.get("/healthz")).json() == {"status": "alive"}
        response = await site.get("/readyz")
        assert response.status_code == 503
        assert response.json()["is_ready"] is False
        assert any("no quorum: 2 of 4 online with 5" in reason for reason in response.json()["reasons"])


async def test_a_member_with_a_quorum_is_ready() -> None:
    async with open_site(LedgerBuilder(founders=FOUNDERS)) as site:
        site.desk.connect(FOUNDERS[2].member)
        response = await site.get("/readyz")
        assert (response.status_code, response.json()) == (200, {"is_ready": True, "reasons": []})


async def test_a_node_that_casts_no_votes_is_not_ready_and_says_why() -> None:
    async with open_site(LedgerBuilder(founders=FOUNDERS), silence="it has forgotten its votes") as site:
        site.desk.connect(FOUNDERS[2].member)
        reasons = (await site.get("/readyz")).json()["reasons"]
        assert reasons == ["this node casts no votes in consensus: it has forgotten its votes"]


async def test_the_status_is_the_ledgers_and_keeps_this_machines_business() -> None:
    builder = build_ledger()
    async with open_site(builder) as site:
        status = await site.get_object("/api/v1/status")
        assert status["state_root"] == compute_state_root(builder.state).hex()
        assert get_object(status["round"])["phase"] == "TRAIN"
        told = await site.desk.ask({"command": "status"})
        assert get_object(told).keys() - status.keys() == {"pid"}


async def test_rounds_are_paged_and_the_latest_come_without_a_first() -> None:
    builder = LedgerBuilder(founders=FOUNDERS)
    records = [builder.run_round() for _ in range(4)]
    async with open_site(builder) as site:
        everything = [get_object(record) for record in get_list(await site.get_json("/api/v1/rounds"))]
        assert [record["round"] for record in everything] == [1, 2, 3, 4]
        for described, record in zip(everything, records, strict=True):
            assert described.items() >= describe_round(record).items()
        assert await site.get_json("/api/v1/rounds?limit=2") == everything[2:]
        assert await site.get_json("/api/v1/rounds?from_round=2&limit=2") == everything[1:3]
        assert await site.get_json("/api/v1/rounds?from_round=5") == []
        assert await site.get_json("/api/v1/rounds/3") == everything[2]


async def test_rounds_read_before_are_not_lost_to_those_read_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "ROUNDS_KEPT_MAX", 3)
    builder = LedgerBuilder(founders=FOUNDERS)
    for _ in range(4):
        builder.run_round()
    async with open_site(builder) as site:
        for query in ("from_round=1&limit=1", "from_round=3&limit=2"):
            await site.get_json(f"/api/v1/rounds?{query}")
        described = get_list(await site.get_json("/api/v1/rounds?from_round=1&limit=3"))
        assert [get_object(record)["round"] for record in described] == [1, 2, 3]


async def test_rounds_that_settle_later_appear() -> None:
    builder = LedgerBuilder(founders=FOUNDERS)
    builder.run_round()
    async with open_site(builder) as site:
        assert len(get_list(await site.get_json("/api/v1/rounds"))) == 1
        assert (await site.get("/api/v1/rounds/2")).status_code == 404


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", f"limit={ROUNDS_MAX}", "limit=", "limit=1&limit=1", "limit=-1", "limit=1e3", "limit=²",
     "from_round=0", "from_round=x", f"from_round={10**16}", "from_round=None"],
)  # fmt: skip
async def test_a_number_that_is_none_is_refused_in_one_line(query: str) -> None:
    async with open_site(LedgerBuilder(founders=FOUNDERS)) as site:
        response = await site.get(f"/api/v1/rounds?{query}")
        assert response.status_code == 400
        assert response.json()["error"].startswith(query.split("=", 1)[0])


@pytest.mark.parametrize(
    "path", ["/nothing", "/static/", "/static/../app.py", "/static/%2e%2e/app.py", "/api/v1", "/healthz/"]
)
async def test_what_is_not_there_is_404_in_json(path: str) -> None:
    async with open_site(LedgerBuilder(founders=FOUNDERS)) as site:
        response = await site.get(path)
        assert (response.status_code, list(response.json())) == (404, ["error"])


async def test_every_described_endpoint_answers_and_nothing_else_is_described() -> None:
    async with open_site(build_ledger()) as site:
        document = await site.get_object("/openapi.json")
        described = set(get_object(document["paths"]))
        assert described == {endpoint.path for endpoint in ENDPOINTS} | {"/metrics", "/api/v1/events"}
        for endpoint in ENDPOINTS:
            response = await site.get(endpoint.path.replace("{round}", "1"))
            assert response.status_code in {200, 503}, endpoint.path
            assert response.headers["cache-control"] == "no-store"


async def test_a_candidates_score_is_not_told_before_the_ballots_are() -> None:
    builder = build_ledger()
    async with open_site(builder) as site:
        score = ScoreRecord(model_digest=make_digest("candidate"), score=Ppm(900_000))
        await site.desk.store.append([Persist(record=score)])
        told = get_object(await site.desk.ask({"command": "model"}))
        assert get_object(told["scores"])[make_digest("candidate").hex()] == 900_000
        model = await site.get_object("/api/v1/model")
        assert model["scores"] == {builder.genesis.model_digest.hex(): 123_000}


async def test_the_stakes_are_the_ledgers_and_so_is_their_history() -> None:
    builder = build_ledger()
    async with open_site(builder) as site:
        stakes = await site.get_object("/api/v1/stakes")
        now = {
            str(account["member"]): sum(int(str(account[state])) for state in ("bonded", "unbonding", "free"))
            for account in map(get_object, get_list(stakes["members"]))
        }
        history = await site.get_object("/api/v1/stakes/history")
        points = [get_object(point) for point in get_list(history["points"])]
        assert [point["round"] for point in points] == [1, 2]
        members = [str(entry["member"]) for entry in map(get_object, get_list(history["members"]))]
        assert dict(zip(members, get_list(points[-1]["stakes"]), strict=True)) == now


async def test_metrics_count_what_the_node_did() -> None:
    async with open_site(build_ledger()) as site:
        response = await site.get("/metrics")
        assert response.headers["content-type"].startswith("text/plain; version=")
        lines = re.finditer(r"^([a-z_]+(?:\{.*\})?) (\S+)$", response.text, re.MULTILINE)
        values = {line[1]: float(line[2]) for line in lines}
        height = (await site.get_object("/api/v1/status"))["height"]
        assert values["pnyx_height"] == height
        assert values["pnyx_rounds_settled"] == 2
        assert values['pnyx_round_phase{phase="TRAIN"}'] == 1
        assert values["pnyx_inbox_length"] == 3
        assert values['pnyx_dropped_total{queue="inbox"}'] == 5
        assert values['pnyx_dropped_total{queue="gossip"}'] == 7
        assert values["pnyx_worker_memory_bytes"] == 300 << 20
        assert values["pnyx_ready"] == 0
        assert values['pnyx_alert{code="no_quorum",severity="error"}'] == 1
        stakes = await site.get_object("/api/v1/stakes")
        for account in map(get_object, get_list(stakes["members"])):
            label = f'name="{account["name"]}",member="{str(account["member"])[:8]}",state="bonded"'
            parts = set(label.split(","))
            found = [value for name, value in values.items() if parts <= set(re.split(r"[{},]", name))]
            assert found == [account["bonded"]]
