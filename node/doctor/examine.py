"""All checks of a home, in the order in which an operator would make them; each one rests on those before it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from node.clock import WallClock
from node.daemon import Daemon
from node.doctor import files, machine, network
from node.doctor.daemon import DaemonFacts, check_daemon, gather_daemon
from node.doctor.findings import Finding, fail, ok, warn
from node.doctor.worker import check_worker, gather_worker
from node.errors import NodeError
from node.home import Home, HomePaths
from node.json_values import get_int
from node.keys import GetPassphrase
from node.members import WAITS, describe_standing
from protocol.genesis import Genesis, compute_chain_id
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.ledger.state import LedgerState
from protocol.units import MemberId, Millis


async def examine(root: Path, get_passphrase: GetPassphrase) -> list[Finding]:
    """Return what every check found; nothing in the home is changed, and no connection of the daemon is disturbed."""
    paths = HomePaths(root=root)
    places = files.gather_places(paths)
    findings = [files.check_places(places)]
    if not places.found:
        return findings
    daemon = await gather_daemon(paths)
    contents = files.gather_contents(paths, get_passphrase)
    findings += [check_daemon(daemon), files.check_config(contents), files.check_keys(contents)]
    findings.append(files.check_genesis(paths, contents))
    genesis = None if isinstance(contents.genesis, NodeError) else contents.genesis
    state = compute_genesis_state(genesis) if genesis is not None else None
    if not daemon.is_running:
        room_bytes = shutil.disk_usage(tempfile.gettempdir()).free
        ledger = files.gather_ledger(paths, contents.genesis, room_bytes=room_bytes)
        findings.append(files.check_ledger(ledger))
        state = ledger.state if isinstance(ledger.state, LedgerState) else state
    rest = _Examination(daemon=daemon, contents=contents, genesis=genesis, state=state)
    findings += rest.check_member()
    findings += await rest.check_machine(paths)
    findings += await rest.check_network()
    findings += await rest.check_worker(paths)
    return findings


class _Examination:
    """What the later checks share."""

    def __init__(
        self, *, daemon: DaemonFacts, contents: files.Contents, genesis: Genesis | None, state: LedgerState | None
    ) -> None:
        self._daemon = daemon
        self._genesis = genesis
        self._state = state
        self._config = None if isinstance(contents.config, NodeError) else contents.config
        self._keys = None if isinstance(contents.keys, NodeError) else contents.keys

    def check_member(self) -> Iterator[Finding]:
        """Check that this node is a member."""
        me, status = self._get_member(), self._daemon.status
        if status is not None:
            yield _judge_standing(str(status["standing"]))
        elif self._state is not None and me is not None:
            yield _judge_standing(describe_standing(self._state, me))

    async def check_machine(self, paths: HomePaths) -> list[Finding]:
        """Check what is not in the home."""
        daemon, config = self._daemon, self._config
        clock = machine.gather_clock(
            daemon,
            now_ms=WallClock().get_now_ms(),
            ledger_ms=self._get_ledger_ms(),
            drift_max_ms=None if self._genesis is None else self._genesis.parameters.clock_drift_max_ms,
        )
        limit = machine.read_open_files_max(daemon.pid)
        findings = [
            machine.check_software(machine.gather_software(), daemon),
            machine.check_disk(machine.gather_disk(paths, config)),
            machine.check_clock(clock),
            machine.check_open_files(limit, len(self._list_peers()) + 1),
        ]
        if config is not None:
            findings.append(machine.check_ports(await machine.gather_ports(config, daemon)))
        return findings

    async def check_network(self) -> list[Finding]:
        """Check the way to the others."""
        me = self._get_member()
        if me is None:
            return [warn("peers", "not checked: which member is this node, and which are the others, the keys tell")]
        peers = await network.dial_peers(self._list_peers())
        findings = []
        if self._config is not None and peers:
            findings.append(
                network.check_address(
                    network.AddressFacts(
                        config=self._config,
                        told=network.find_told(self._state, me),
                        others=tuple(address for peer in peers for address in peer.addresses),
                    )
                )
            )
        names = {peer.member: peer.name for peer in peers}
        chain = "" if self._genesis is None else f"chain {compute_chain_id(self._genesis).hex()[:8]}"
        findings += [network.check_peer(peer, names, chain) for peer in peers]
        if peers:
            own = network.get_own_weight(self._state, self._daemon, me)
            findings.append(network.check_weight(network.WeightFacts(own=own, others=peers)))
        return findings

    async def check_worker(self, paths: HomePaths) -> list[Finding]:
        """Check that the task can be loaded."""
        if self._config is None or self._genesis is None:
            return []
        if self._keys is None:
            return [warn("worker", "not checked: which data are this member's depends on its keys")]
        home = Home(paths=paths, config=self._config, keys=self._keys)
        try:
            settings = Daemon(home, self._genesis).build_learner_settings()
        except NodeError as error:
            return [fail("worker", str(error))]
        return [check_worker(await gather_worker(settings, self._daemon))]

    def _list_peers(self) -> tuple[network.PeerFacts, ...]:
        return network.list_peers(self._state, self._config, self._daemon, self._get_member())

    def _get_member(self) -> MemberId | None:
        if self._daemon.status is not None:
            return MemberId(bytes.fromhex(str(self._daemon.status["member"])))
        return None if self._keys is None else self._keys.signing.member

    def _get_ledger_ms(self) -> Millis | None:
        if self._daemon.status is not None:
            return Millis(get_int(self._daemon.status["time_ms"]))
        return None if self._state is None else self._state.time_ms


def _judge_standing(standing: str) -> Finding:
    if standing == "member":
        return ok("member", "this node is a member")
    if standing == WAITS:
        return warn("member", f"this node {WAITS}: a member has to ask for it with `pnyx join`, given its card")
    return warn("member", f"this node {standing}: to come back it joins as a newcomer does")
