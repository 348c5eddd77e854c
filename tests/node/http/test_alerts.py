"""Each alert appears when its cause does, and not before."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import trio.testing

from node import peer_clocks
from node.http import alerts
from node.http.alerts import FAILED_VIEWS_MAX
from node.json_values import get_list, get_object
from node.peer_clocks import SAMPLES
from protocol.evidence import Offence
from protocol.genesis import FIRST_EPOCH
from protocol.observations import (
    CandidateDiffers,
    Observation,
    OffenceSeen,
    UpdateNotScreened,
    ViewFailed,
    WorkAbandoned,
)
from protocol.units import MemberId, Millis, Round, Stake, View
from tests.helpers import LedgerBuilder, make_digest
from tests.node.control_desks import FOUNDERS, ME
from tests.node.fakes import TrioClock
from tests.node.http.sites import Site, open_site
from tests.tidiness import ROOT


def test_the_guide_lists_every_alert_and_no_other() -> None:
    source = Path(alerts.__file__).read_text(encoding="utf-8")
    guide = (ROOT / "docs/guides/operations.md").read_text(encoding="utf-8")
    table = guide.partition("| code | means | blocks |")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    listed = {code for cell in cells for code in re.findall(r"`(\w+)`", cell)}
    assert listed == set(re.findall(r'code="(\w+)"', source))


async def connect_all(site: Site) -> None:
    for keys in FOUNDERS[2:]:
        site.desk.connect(keys.member)


async def tell(site: Site, *observations: Observation) -> None:
    for observation in observations:
        site.desk.hub.publish(observation)
    await trio.testing.wait_all_tasks_blocked(0.01)


async def test_all_is_well_when_everybody_is_there() -> None:
    async with open_site(LedgerBuilder(founders=FOUNDERS)) as site:
        await connect_all(site)
        assert await site.get_alert_codes() == set()


async def test_members_that_are_away_are_named() -> None:
    async with open_site(LedgerBuilder(founders=FOUNDERS)) as site:
        assert await site.get_alert_codes() == {"no_quorum", "members_offline"}
        site.desk.connect(FOUNDERS[2].member)
        assert await site.get_alert_codes() == {"members_offline"}
        text = (await site.get("/api/v1/alerts")).json()[0]["text"]
        assert text == f"1 of 3 others not connected: {FOUNDERS[3].founder.name}"


async def test_a_stranger_waits_to_be_admitted() -> None:
    async with open_site(LedgerBuilder(founders=FOUNDERS), me=MemberId(bytes(32))) as site:
        assert "not_a_member" in await site.get_alert_codes()


async def test_a_member_without_stake_and_one_in_jail_are_told() -> None:
    builder = LedgerBuilder(founders=FOUNDERS)
    async with open_site(builder) as site:
        await connect_all(site)
        accounts = builder.state.accounts
        for change, code in (
            ({"bonded": Stake(1)}, "exhausted"),
            ({"is_jailed": True}, "jailed"),
            ({"is_evicted": True}, "evicted"),
        ):
            changed = tuple(
                replace(account, **change) if account.member == ME else account
                for account in accounts
            )
            builder.state = replace(builder.state, accounts=changed)
            assert await site.get_alert_codes() == {code}


async def test_a_round_that_does_not_move_on_is_a_standstill() -> None:
    builder = LedgerBuilder(founders=FOUNDERS)
    builder.run_draw()
    clock = TrioClock()
    clock.shift_ms = builder.state.time_ms - clock.get_now_ms()
    async with open_site(builder, clock=clock) as site:
        await connect_all(site)
        deadline_ms = builder.round.deadline_ms
        parameters = builder.genesis.parameters
        clock.shift_ms += deadline_ms - clock.get_now_ms() + 2 * parameters.timeout_view_max_ms
        assert await site.get_alert_codes() == set()
        clock.shift_ms += parameters.clock_drift_max_ms + 60_000
        assert await site.get_alert_codes() == {"standstill"}
        assert (await site.get("/readyz")).status_code == 503


async def test_trouble_with_own_work_is_told_for_some_rounds() -> None:
    builder = LedgerBuilder(founders=FOUNDERS)
    async with open_site(builder) as site:
        await connect_all(site)
        await tell(site, WorkAbandoned(round=Round(1), reason="sample 17 is broken"))
        differs = CandidateDiffers(round=Round(1), computed_digest=make_digest(1), accepted_digest=make_digest(2))
        await tell(site, differs)
        assert await site.get_alert_codes() == {"work_failed", "candidate_differed"}
        assert "sample 17" not in (await site.get("/api/v1/alerts")).text
        builder.state = replace(builder.state, next_round=Round(9))
        assert await site.get_alert_codes() == set()


async def test_an_update_that_was_not_screened_is_told_as_own_trouble() -> None:
    async with open_site(LedgerBuilder(founders=FOUNDERS)) as site:
        await connect_all(site)
        reason = "sample 17 is broken"
        await tell(site, UpdateNotScreened(round=Round(1), update_digest=make_digest(1), reason=reason))
        assert await site.get_alert_codes() == {"work_failed"}
        assert "sample 17" not in (await site.get("/api/v1/alerts")).text


async def test_a_worker_that_is_down_and_a_disk_that_is_nearly_full_are_told() -> None:
    async with open_site(LedgerBuilder(founders=FOUNDERS)) as site:
        await connect_all(site)
        site.readings.worker_bytes = 0
        site.readings.disk_free_bytes = 400 << 20
        assert await site.get_alert_codes() == {"no_worker", "disk_low"}
        assert "400 MB of disk are left" in (await site.get("/api/v1/alerts")).text


@pytest.fixture
def heard_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let proposals count that come at once, since the pages are asked in real time."""
    monkeypatch.setattr(peer_clocks, "SAMPLE_GAP_S", 0.0)


async def hear_proposals(site: Site, clock: TrioClock, *, offset_ms: int, of: int = 3) -> None:
    for keys in FOUNDERS[1 : 1 + of]:
        for _ in range(SAMPLES):
            site.desk.peer_clocks.note(keys.member, Millis(clock.get_now_ms() + offset_ms))


@pytest.mark.usefixtures("heard_at_once")
async def test_a_clock_that_is_set_wrong_while_the_node_runs_is_told_at_once_and_by_how_much() -> None:
    """C8."""
    builder = LedgerBuilder(founders=FOUNDERS)
    clock = TrioClock()
    async with open_site(builder, clock=clock) as site:
        await connect_all(site)
        await hear_proposals(site, clock, offset_ms=-30)
        assert await site.get_alert_codes() == set()
        bound_ms = builder.genesis.parameters.clock_drift_max_ms // 2
        for shift_ms, code in ((bound_ms + 1_000, "clock_ahead"), (-bound_ms - 1_000, "clock_behind")):
            clock.shift_ms = shift_ms
            assert await site.get_alert_codes() == {code}
            text = str(get_object(get_list(await site.get_json("/api/v1/alerts"))[0])["text"])
            assert "3.5 s" in text
            assert "(heard: 3)" in text
        clock.shift_ms = 0
        assert await site.get_alert_codes() == set()


async def test_proposals_that_waited_while_the_process_was_stopped_are_no_alert() -> None:
    clock = TrioClock()
    async with open_site(LedgerBuilder(founders=FOUNDERS), clock=clock) as site:
        await connect_all(site)
        await hear_proposals(site, clock, offset_ms=-60_000)
        assert await site.get_alert_codes() == set()


@pytest.mark.usefixtures("heard_at_once")
async def test_a_clock_that_is_ahead_is_no_standstill() -> None:
    """What the ledger says is due comes later by such a clock."""
    builder = LedgerBuilder(founders=FOUNDERS)
    builder.run_draw()
    clock = TrioClock()
    clock.shift_ms = builder.state.time_ms - clock.get_now_ms()
    async with open_site(builder, clock=clock) as site:
        await connect_all(site)
        await hear_proposals(site, clock, offset_ms=0)
        clock.shift_ms += builder.round.deadline_ms + 3_600_000 - clock.get_now_ms()
        assert await site.get_alert_codes() == {"clock_ahead"}


async def test_members_of_another_network_are_named_and_not_called_away() -> None:
    async with open_site(LedgerBuilder(founders=FOUNDERS)) as site:
        await connect_all(site)
        stray = FOUNDERS[2]
        site.desk.network.strays.add(stray.member)
        assert await site.get_alert_codes() == {"other_network"}
        text = (await site.get("/api/v1/alerts")).json()[0]["text"]
        assert text.startswith(f"{stray.founder.name} answered, but of another network")


async def test_views_that_fail_often_name_their_leaders() -> None:
    clock = TrioClock()
    async with open_site(LedgerBuilder(founders=FOUNDERS), clock=clock) as site:
        await connect_all(site)
        failure = ViewFailed(view=View(3), leader=FOUNDERS[2].member, failures=1)
        await tell(site, *[failure] * FAILED_VIEWS_MAX)
        assert await site.get_alert_codes() == set()
        await tell(site, failure)
        assert await site.get_alert_codes() == {"views_fail"}
        assert FOUNDERS[2].founder.name in (await site.get("/api/v1/alerts")).text
        clock.shift_ms += 61_000
        assert "views_fail" not in await site.get_alert_codes()


async def test_an_offence_is_told() -> None:
    async with open_site(LedgerBuilder(founders=FOUNDERS)) as site:
        await connect_all(site)
        await tell(site, OffenceSeen(offence=Offence(member=FOUNDERS[1].member, epoch=FIRST_EPOCH, view=View(3))))
        assert await site.get_alert_codes() == {"offence_seen"}
