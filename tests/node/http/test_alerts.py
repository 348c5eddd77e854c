"""Each alert appears when its cause does, and not before."""

import re
from dataclasses import replace
from pathlib import Path

import trio.testing

from node.http import alerts
from node.http.alerts import CLOCK_BLOCKS, FAILED_VIEWS_MAX
from protocol.evidence import Offence
from protocol.genesis import FIRST_EPOCH
from protocol.observations import (
    BlockExecuted,
    CandidateDiffers,
    Observation,
    OffenceSeen,
    ViewFailed,
    WorkAbandoned,
)
from protocol.units import Height, MemberId, Millis, Round, Stake, View
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


async def test_a_worker_that_is_down_and_a_disk_that_is_nearly_full_are_told() -> None:
    async with open_site(LedgerBuilder(founders=FOUNDERS)) as site:
        await connect_all(site)
        site.readings.worker_bytes = 0
        site.readings.disk_free_bytes = 400 << 20
        assert await site.get_alert_codes() == {"no_worker", "disk_low"}
        assert "400 MB of disk are left" in (await site.get("/api/v1/alerts")).text


async def test_blocks_from_the_future_mean_that_this_clock_is_late() -> None:
    builder = LedgerBuilder(founders=FOUNDERS)
    builder.add_block()
    clock = TrioClock()
    async with open_site(builder, clock=clock) as site:
        await connect_all(site)
        drift_ms = builder.genesis.parameters.clock_drift_max_ms

        def observe(height: int) -> BlockExecuted:
            header, outcome = builder.blocks[0].block.header, builder.blocks[0].outcome
            return BlockExecuted(
                height=Height(height),
                view=View(height),
                time_ms=Millis(clock.get_now_ms() + drift_ms),
                leader=header.leader,
                operation_count=0,
                outcome=outcome,
            )

        await tell(site, *(observe(height) for height in range(1, CLOCK_BLOCKS)))
        assert await site.get_alert_codes() == set()
        await tell(site, observe(CLOCK_BLOCKS))
        assert await site.get_alert_codes() == {"clock_behind"}


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
