"""Runs a demo from the first home to the last check: found, start, follow, measure, stop, verify."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import psutil
import trio

from node.clock import WallClock
from node.control import call
from node.demo.checks import build_checks, check_clean_stop, verify_ledger
from node.demo.findings import Check, Findings, PlayedRound, StakeChange
from node.demo.plan import DemoPlan, found_homes
from node.demo.reading import (
    ask_all,
    compute_counted_stake,
    get_names,
    measure_scores,
    read_bonded,
    read_jailed,
    read_key_names,
    read_ledger,
    read_recorded_scores,
    read_round,
)
from node.errors import NodeError
from node.json_values import JsonObject, get_int, get_list, get_object, get_text
from node.testnet import NodeProcess, Testnet, open_testnet

MEBIBYTE: Final = 1 << 20
POLL_INTERVAL_S: Final = 0.2
SAMPLE_INTERVAL_S: Final = 1.0
CONNECT_WAIT_S: Final = 60.0
AGREE_WAIT_S: Final = 60.0
STALL_WAIT_S: Final = 180.0
"""Without a settled round for this long, the demo gives up and says so."""


@dataclass(slots=True)
class Scene:
    """What a viewer may show of a running demo."""

    plan: DemoPlan
    stage: str = ""
    round: int = 0
    phase: str = ""
    proposers: tuple[str, ...] = ()
    voters: tuple[str, ...] = ()
    stakes: dict[str, int] = field(default_factory=dict)
    """Bonded stake by member name, in micro-tokens."""
    played: list[PlayedRound] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    """Mean score of each model over the honest members that have scored it, by digest."""


class Viewer(Protocol):
    """Shows a demo while it runs: drawn live on a terminal, or a line per round."""

    def show(self, scene: Scene) -> None:
        """Show the scene as it is now."""
        ...


class Play:
    """One run of the demo."""

    def __init__(self, plan: DemoPlan, viewer: Viewer) -> None:
        """Take what to run and who shows it."""
        self._plan = plan
        self._viewer = viewer
        self._scene = Scene(plan=plan)
        self._started_s: float = psutil.Process().create_time()
        self._peak_rss_bytes = 0
        self._setup_s = 0.0
        self._ready_ms = 0
        self._first_verdict_s = 0.0

    async def run(self) -> Findings:
        """Play to the end and return what was found.

        Raises:
            NodeError: A daemon ended or the rounds came to a stop; the message holds the end of a log.
        """
        self._enter("making homes and the genesis document")
        specs = await found_homes(self._plan)
        async with open_testnet(specs) as testnet:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._sample_memory, testnet)
                await self._bring_up(testnet)
                await self._follow_rounds(testnet)
                nursery.start_soon(_watch_alive, testnet)
                await self._wait_agreement(testnet)
                findings = await self._collect(testnet)
                nursery.cancel_scope.cancel()
            self._enter("stopping the daemons")
            await testnet.stop_all()
            stop_check = check_clean_stop(testnet.nodes)
        self._enter("verifying an exported ledger from genesis")
        verify_check = await trio.to_thread.run_sync(verify_ledger, specs[0], findings.ledgers[0])
        self._enter("done")
        return self._finish(findings, (stop_check, verify_check))

    async def _bring_up(self, testnet: Testnet) -> None:
        self._enter("starting the daemons")
        testnet.start_all()
        async with trio.open_nursery() as nursery:
            for node in testnet.nodes:
                nursery.start_soon(node.wait_ready)
        self._enter("connecting")
        with trio.move_on_after(CONNECT_WAIT_S):
            while not all(_is_connected(status) for status in await ask_all(testnet.nodes, "status")):
                await trio.sleep(POLL_INTERVAL_S)
        self._setup_s = self._compute_elapsed_s()
        self._ready_ms = WallClock().get_now_ms()

    async def _follow_rounds(self, testnet: Testnet) -> None:
        self._enter("training")
        reference = testnet.nodes[0]
        progressed_s = time.monotonic()
        while len(self._scene.played) < self._plan.round_count:
            _check_alive(testnet)
            if await self._look(reference):
                progressed_s = time.monotonic()
                honest = self._get_honest(testnet)
                self._scene.scores.update(await read_recorded_scores(honest))
            elif time.monotonic() - progressed_s > STALL_WAIT_S:
                log = reference.read_log_tail()
                raise NodeError(f"no round settled for {STALL_WAIT_S:.0f} s; {reference.name}'s log ends:\n{log}")
            self._viewer.show(self._scene)
            await trio.sleep(POLL_INTERVAL_S)

    async def _look(self, reference: NodeProcess) -> bool:
        """Read the reference node once; return whether another round has settled."""
        scene = self._scene
        stakes = await reference.ask("stakes")
        request: JsonObject = {"command": "rounds", "from_round": len(scene.played) + 1, "limit": 100}
        settled = get_list(await call(reference.home, request))
        names = read_key_names(stakes)
        scene.played += [read_round(get_object(record), names, ready_ms=self._ready_ms) for record in settled]
        scene.stakes = read_bonded(stakes)
        if settled and not self._first_verdict_s:
            self._first_verdict_s = self._compute_elapsed_s()
        status = await reference.ask("status")
        if status["round"] is not None:
            current = get_object(status["round"])
            scene.round, scene.phase = get_int(current["round"]), get_text(current["phase"])
            scene.proposers, scene.voters = get_names(current, "proposers"), get_names(current, "voters")
        return bool(settled)

    async def _wait_agreement(self, testnet: Testnet) -> None:
        self._enter("waiting until all ledgers agree")
        with trio.move_on_after(AGREE_WAIT_S):
            while True:
                statuses = await ask_all(testnet.nodes, "status")
                places = {(status["height"], status["state_root"]) for status in statuses}
                settled = [get_int(status["rounds_settled"]) for status in statuses]
                if len(places) == 1 and min(settled) >= self._plan.round_count:
                    return
                await trio.sleep(POLL_INTERVAL_S)

    async def _collect(self, testnet: Testnet) -> Findings:
        self._enter("scoring the models on the honest members' held-out data")
        reference = testnet.nodes[0]
        genesis_model = get_text((await reference.ask("model"))["genesis_digest"])
        digests = sorted({genesis_model, *(played.model for played in self._scene.played)})
        scores = await measure_scores(self._get_honest(testnet), digests)
        stakes = await reference.ask("stakes")
        statuses = await ask_all(testnet.nodes, "status")
        before = self._plan.stake_initial
        return Findings(
            rounds=tuple(self._scene.played),
            scores=scores,
            genesis_model=genesis_model,
            stakes={name: StakeChange(before=before, after=after) for name, after in read_bonded(stakes).items()},
            malicious=self._plan.malicious_names,
            jailed=read_jailed(stakes),
            supply=get_int(stakes["supply"]),
            counted_stake=compute_counted_stake(stakes),
            treasury=get_int(stakes["treasury"]),
            ledgers=tuple(read_ledger(node, status) for node, status in zip(testnet.nodes, statuses, strict=True)),
            checks=(),
            elapsed_s=0.0,
            setup_s=self._setup_s,
            first_verdict_s=self._first_verdict_s,
            peak_rss_mb=0.0,
            directory=str(self._plan.directory) if self._plan.is_kept else None,
        )

    def _finish(self, findings: Findings, checks: Sequence[Check]) -> Findings:
        return findings.with_ending(
            checks=(*build_checks(findings, self._plan), *checks),
            elapsed_s=self._compute_elapsed_s(),
            peak_rss_mb=self._peak_rss_bytes / MEBIBYTE,
        )

    async def _sample_memory(self, testnet: Testnet) -> None:
        own = psutil.Process()
        while True:
            rss_bytes = testnet.compute_rss_bytes() + own.memory_info().rss
            self._peak_rss_bytes = max(self._peak_rss_bytes, rss_bytes)
            await trio.sleep(SAMPLE_INTERVAL_S)

    def _get_honest(self, testnet: Testnet) -> tuple[NodeProcess, ...]:
        return tuple(node for node in testnet.nodes if node.name not in self._plan.malicious_names)

    def _enter(self, stage: str) -> None:
        self._scene.stage = stage
        self._viewer.show(self._scene)

    def _compute_elapsed_s(self) -> float:
        return time.time() - self._started_s


def _is_connected(status: JsonObject) -> bool:
    return status["members_connected"] == status["members_other"]


def _check_alive(testnet: Testnet) -> None:
    for node in testnet.nodes:
        if node.pid is None:
            raise NodeError(f"the daemon of {node.name} ended (exit code {node.exit_code}):\n{node.read_log_tail()}")


async def _watch_alive(testnet: Testnet) -> None:
    while True:
        _check_alive(testnet)
        await trio.sleep(POLL_INTERVAL_S)
