"""What must hold in the end of every run: one ledger, intact on every disk, fair to everybody, within its bounds."""

from io import BytesIO
from typing import Final

from node.ledger_export import cut_at_certificate
from node.services import RECENT_BLOCKS_MAX
from protocol.audit import verify_export
from protocol.export import write_export
from protocol.holdings import AHEAD_PER_MEMBER_MAX
from protocol.ledger.state import compute_state_root
from protocol.units import Height
from tests.sim.memory_transport import OUTBOX_BYTES_MAX, REQUESTS_PER_PEER_MAX, MemoryNetwork
from tests.sim.tier_b.operators import AT_A_TIME
from tests.sim.tier_b.stepping import Census
from tests.sim.tier_b.watch import Watch
from tests.sim.tier_b.whole import WholeNode

SERVICES_COUNT: Final = 3
BODIES_MAX: Final = 64
"""Fetches of unfinalized blocks at a time; consensus buffers no more views than that (C15)."""
OWN_WORK_MAX: Final = 16
"""Trainings, aggregations and evaluations at a time; a round asks for a few."""
SOURCES_PER_ARTIFACT_MAX: Final = 4


def check_end(watch: Watch, network: MemoryNetwork, census: Census, nodes: list[WholeNode]) -> None:
    """Compare these nodes' ledgers, replay and audit each of them, and look at what the members think of each other.

    Raises:
        AssertionError: Something is not as it must be.
        AuditFailure: A ledger is wrong.
    """
    for node in nodes:
        watch.check_ledger(node)
        _check_audit(node)
    roots = {node.name: (node.state.height, compute_state_root(node.state)) for node in nodes}
    assert len(set(roots.values())) == 1, f"the ledgers differ: {roots}"
    truthful = {node.member for node in watch.nodes.values() if node.is_truthful}
    for (name, task), count in census.alive.items():
        is_endless = task.endswith("_run_job") and count > OWN_WORK_MAX
        assert not is_endless, f"{name} still works on {count} orders though all is done"
    for node in watch.nodes.values():
        blamed = {member: score for member, score in node.scores.items() if score < 0 and member in truthful}
        assert not blamed, f"{node.name} holds against honest members: {blamed}"
    check_bounds(watch, network, census)


def check_bounds(watch: Watch, network: MemoryNetwork, census: Census) -> None:
    """Check what waits now, and what ever waited, against the bounds that there must be."""
    for node in _get_nodes(watch):
        waiting = node.node.inbox._receive.statistics().current_buffer_used
        assert waiting <= node.inbox_inputs_max, f"{node.name} has {waiting} inputs waiting"
        assert len(node.node._recent._blocks) <= RECENT_BLOCKS_MAX, f"{node.name} keeps too many recent blocks"
        asked = 0 if node.operator is None else node.operator.waiting_count
        assert len(node.node.submissions._waiting) == asked <= AT_A_TIME, f"{node.name} forgot whom it owes an answer"
    for ends, link in network.links.items():
        assert link.waiting_bytes_max <= OUTBOX_BYTES_MAX, f"{ends}: too much gossip waits for a slow peer"
    for (_, server, service), count in network.streams_most.items():
        is_bounded = count <= REQUESTS_PER_PEER_MAX
        assert is_bounded, f"{server.hex()[:8]} served {count} {service} requests of one member at a time"
    others = len(watch.nodes) + 1
    jobs_max = OWN_WORK_MAX + AHEAD_PER_MEMBER_MAX * len(watch.nodes)
    bounds = {
        "_fetch_body": BODIES_MAX,
        "WitnessAsker._ask": others,
        "_run_job": jobs_max,
        "_drain": SOURCES_PER_ARTIFACT_MAX * jobs_max,
        "MemoryNetwork.serve": SERVICES_COUNT * REQUESTS_PER_PEER_MAX * others,
    }
    for (name, task), count in census.most.items():
        kind = next((kind for kind in bounds if task.endswith(kind)), None)
        assert count <= (1 if kind is None else bounds[kind]) or _is_of_the_test(task), f"{name}: {count} of {task}"


def _get_nodes(watch: Watch) -> tuple[WholeNode, ...]:
    return tuple(node for node in watch.nodes.values() if node.is_up)


def _is_of_the_test(task: str) -> bool:
    return task.startswith("tests.") and not task.endswith("MemoryNetwork.serve")


def _check_audit(node: WholeNode) -> None:
    """Export a node's ledger as its operator would, and audit it as a stranger would."""
    export = BytesIO()
    write_export(export, node.genesis, cut_at_certificate(node.store.iterate_blocks(Height(1))))
    export.seek(0)
    report = verify_export(export)
    assert (report.height, report.state_root) == (node.state.height, compute_state_root(node.state)), (
        f"{node.name}'s ledger replays to another state than the node has"
    )
