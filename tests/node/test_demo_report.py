"""What the demo finds, prints and checks, without a network."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from node.config_keys import Attack
from node.demo.checks import build_checks, check_clean_stop
from node.demo.findings import Check, Findings, Ledger, Loss, PlayedRound, StakeChange, build_document
from node.demo.plan import DemoPlan, check_plan, choose_directory
from node.demo.play import Scene
from node.demo.reading import compute_counted_stake, read_round
from node.demo.summary import format_round, format_summary
from node.demo.viewers import LiveViewer, PlainViewer
from node.errors import ConfigError
from node.fleet.homes import make_member_name
from node.json_values import JsonObject, get_object
from node.observations import describe_round
from node.testnet import NodeProcess, NodeSpec
from protocol.parameters import AggregationRule
from tests.founders import make_founders
from tests.helpers import LedgerBuilder

PLAN = DemoPlan(
    directory=Path("nowhere"),
    is_kept=False,
    node_count=3,
    malicious_count=1,
    attack=Attack.SIGN_FLIP,
    round_count=2,
    task="digits",
    task_params=(),
    aggregation=AggregationRule.MEDIAN,
    seed=1,
)

GOOD_ROUND = PlayedRound(
    round=1,
    verdict="ACCEPT",
    proposers=("alpha",),
    voters=("beta",),
    accept_count=1,
    reject_count=0,
    condemned=(),
    losses=(),
    model="aa",
    seconds=1.25,
)
BAD_ROUND = replace(
    GOOD_ROUND,
    round=2,
    verdict="REJECT",
    proposers=("gamma",),
    condemned=("gamma",),
    losses=(Loss(round=2, member="gamma", reason="SLASH_UPDATE", amount=8_000_000),),
)

FINDINGS = Findings(
    rounds=(GOOD_ROUND, BAD_ROUND),
    scores={"00": 0.1, "aa": 0.9},
    genesis_model="00",
    stakes={
        "alpha": StakeChange(before=64_000_000, after=66_000_000),
        "beta": StakeChange(before=64_000_000, after=65_000_000),
        "gamma": StakeChange(before=64_000_000, after=56_000_000),
    },
    malicious=("gamma",),
    jailed=(),
    supply=200_000_000,
    counted_stake=200_000_000,
    treasury=13_000_000,
    ledgers=tuple(Ledger(member=name, height=9, root="ab" * 32) for name in ("alpha", "beta", "gamma")),
    checks=(Check(name="ledgers agree", holds=True, detail="height 9"),),
    elapsed_s=20.0,
    setup_s=9.0,
    first_verdict_s=11.0,
    peak_rss_mb=900.0,
    directory="kept",
)


def get_check(findings: Findings, name: str) -> Check:
    return next(check for check in build_checks(findings, PLAN) if check.name == name)


def test_the_document_names_scores_stakes_and_ledgers() -> None:
    document = get_object(json.loads(json.dumps(build_document(FINDINGS))))
    assert (document["score_before"], document["score_after"]) == (0.1, 0.9)
    assert document["stakes"]["gamma"] == {"before": 64_000_000, "after": 56_000_000}  # type: ignore[index, call-overload]
    assert document["ledgers_agree"] is True
    assert document["malicious"] == ["gamma"]


def test_without_rounds_the_score_after_is_the_score_before() -> None:
    assert replace(FINDINGS, rounds=()).score_after == 0.1


def test_the_summary_says_who_lost_what_for_what_and_what_to_try() -> None:
    text = "\n".join(format_summary(FINDINGS))
    assert "0.100 before, 0.900 after 2 rounds (1 accepted)" in text
    assert "gamma            64.00     56.00     -8.00   condemned updates 8.00 (malicious)" in text
    assert "all 3 ledgers agree: height 9, root abababababababab" in text
    assert "pnyx ledger export --home kept/alpha" in text


def test_the_summary_shouts_when_ledgers_disagree() -> None:
    forked = (*FINDINGS.ledgers[:2], Ledger(member="gamma", height=9, root="cd" * 32))
    text = "\n".join(format_summary(replace(FINDINGS, ledgers=forked)))
    assert "the ledgers DISAGREE: alpha 9/abababab, beta 9/abababab, gamma 9/cdcdcdcd" in text


def test_a_good_run_passes_every_check() -> None:
    checks = build_checks(FINDINGS, PLAN)
    assert all(check.holds for check in checks)
    assert replace(FINDINGS, checks=checks).has_passed


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"rounds": (GOOD_ROUND,)}, "all rounds settled"),
        ({"ledgers": (FINDINGS.ledgers[0], Ledger(member="beta", height=8, root="ab" * 32))}, "ledgers agree"),
        ({"counted_stake": 199_999_999}, "stake is conserved"),
        ({"jailed": ("gamma", "alpha")}, "no honest member convicted"),
    ],
)
def test_each_check_fails_on_what_it_is_for(change: dict[str, object], name: str) -> None:
    findings = replace(FINDINGS, **change)  # type: ignore[arg-type]
    checks = build_checks(findings, PLAN)
    assert [check.name for check in checks if not check.holds] == [name]
    assert not replace(findings, checks=checks).has_passed


def test_a_convicted_malicious_member_is_no_failure() -> None:
    assert get_check(replace(FINDINGS, jailed=("gamma",)), "no honest member convicted").holds


def test_a_daemon_that_did_not_end_by_itself_is_named(tmp_path: Path) -> None:
    check = check_clean_stop([NodeProcess(NodeSpec(name="alpha", home=tmp_path))])
    assert not check.holds
    assert "alpha" in check.detail


def test_a_round_is_read_with_names_and_losses() -> None:
    builder = LedgerBuilder(founders=make_founders(4))
    record = builder.run_round(is_accept=False)
    names = {keys.member.hex(): keys.founder.name for keys in builder.founders}
    described: JsonObject = {
        **describe_round(record),
        "proposer_names": [names[member.hex()] for member in record.proposers],
        "voter_names": [names[member.hex()] for member in record.voters],
    }
    played = read_round(described, names, ready_ms=0)
    assert played.verdict == "REJECT"
    assert played.seconds == (record.settled_ms - record.opened_ms) / 1_000
    assert sum(loss.amount for loss in played.losses) == sum(
        move.amount for move in record.moves if move.reason.name.startswith("SLASH")
    )
    late = read_round(described, names, ready_ms=record.settled_ms - 40)
    assert late.seconds == 0.04


def test_stake_is_counted_wherever_it_is() -> None:
    account: JsonObject = {"name": "a", "member": "00", "bonded": 1, "unbonding": 2, "free": 4}
    assert compute_counted_stake({"members": [account], "treasury": 8, "burned": 16}) == 31


def test_the_plain_viewer_writes_each_stage_and_round_once() -> None:
    stream = io.StringIO()
    viewer, scene = PlainViewer(stream), Scene(plan=PLAN, stage="training")
    viewer.show(scene)
    scene.played.append(GOOD_ROUND)
    viewer.show(scene)
    viewer.show(scene)
    assert stream.getvalue().splitlines() == ["training ...", format_round(GOOD_ROUND, None)]


def test_the_live_view_draws_members_roles_stakes_and_rounds() -> None:
    screen = io.StringIO()
    scene = Scene(plan=PLAN, stage="training", round=2, phase="SEAL", proposers=("beta",), voters=("alpha",))
    scene.stakes = {"alpha": 66_000_000, "beta": 64_000_000, "gamma": 0}
    scene.played.append(GOOD_ROUND)
    with LiveViewer(Console(file=screen, force_terminal=True, width=100)) as viewer:
        viewer.show(scene)
    drawn = Text.from_ansi(screen.getvalue()).plain
    assert "round 2 of 2, SEAL" in drawn
    assert "gamma (sign_flip)" in drawn
    assert "beta               proposer  64.00" in drawn
    assert "1      ACCEPT   1:0    -      1.2" in drawn


def test_members_have_distinct_names_and_the_malicious_come_last() -> None:
    names = [make_member_name(index) for index in range(60)]
    assert len(set(names)) == 60
    assert PLAN.names == ("alpha", "beta", "gamma")
    assert PLAN.malicious_names == ("gamma",)
    assert replace(PLAN, malicious_count=0).malicious_names == ()


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    check_plan(replace(PLAN, directory=tmp_path))
    (tmp_path / "something").touch()
    with pytest.raises(ConfigError, match="is not empty"):
        check_plan(replace(PLAN, directory=tmp_path))


def test_a_temporary_directory_is_gone_afterwards_and_a_kept_one_is_not(tmp_path: Path) -> None:
    with choose_directory(None) as temporary:
        assert temporary.is_dir()
    assert not temporary.exists()
    with choose_directory(tmp_path) as kept:
        assert kept == tmp_path
    assert tmp_path.exists()
