"""What happens in some scenarios besides their faults: one function each, which schedules it before the run."""

from functools import partial

from protocol.ledger.genesis_state import compute_genesis_state
from tests.sim.cluster import Cluster
from tests.sim.disk import Disk

HOUR_MS = 3_600_000
STRIKE_MS = 15
STRIKES_MAX = 12


def do_nothing(_cluster: Cluster) -> None:
    """Add nothing to a scenario's faults."""


def restart_often(cluster: Cluster) -> None:
    """Restart somebody every now and then, so that votes must survive for a quorum ever to come together (C10)."""
    for delay_ms in range(300, cluster.setting.heal_ms, 700):
        node = cluster.random.choice(cluster.honest)
        pause_ms = cluster.random.randint(50, 500)
        cluster.loop.at(delay_ms, partial(cluster.restart, node, after_ms=pause_ms))


def black_out(cluster: Cluster) -> None:
    """Take everybody down at once, twice."""
    for begin_ms in (1_000, 5_000):
        for node in cluster.honest:
            delay_ms, pause_ms = begin_ms + cluster.random.randint(0, 400), cluster.random.randint(100, 3_000)
            cluster.loop.at(delay_ms, partial(cluster.restart, node, after_ms=pause_ms))


def stay_away(cluster: Cluster) -> None:
    """Take one node down until the others have gone on for long."""
    node = cluster.random.choice(cluster.honest)
    cluster.loop.at(cluster.random.randint(500, 2_000), partial(cluster.restart, node, after_ms=60_000))


def forget_votes(cluster: Cluster) -> None:
    """Take one node down and let it lose its journal, or its whole database (C10)."""
    node = cluster.random.choice(cluster.honest)
    loses_all = cluster.random.random() < 0.5

    def lose() -> None:
        if loses_all:
            node.disk.lose_database(compute_genesis_state(cluster.genesis))
        else:
            node.disk.lose_journal()

    down_ms = cluster.random.randint(500, 6_000)
    cluster.loop.at(down_ms, lambda: cluster.crash(node))
    cluster.loop.at(down_ms + 50, lose)
    cluster.loop.at(down_ms + cluster.random.randint(100, 2_000), lambda: cluster.boot(node))


def restore_old_backup(cluster: Cluster) -> None:
    """Copy one node's disk, let it run on, and bring it up later from the copy, which does not tell its age (C10)."""
    node = cluster.random.choice(cluster.honest)
    backups: list[Disk] = []
    copied_ms = cluster.random.randint(200, 4_000)
    lost_ms = copied_ms + cluster.random.randint(100, 4_000)

    def lose() -> None:
        cluster.crash(node)
        node.disk = backups[0]

    cluster.loop.at(copied_ms, lambda: backups.append(node.disk.copy()))
    cluster.loop.at(lost_ms, lose)
    cluster.loop.at(lost_ms + cluster.random.randint(100, 2_000), lambda: cluster.boot(node))


def stay_split(cluster: Cluster) -> None:
    """Keep the honest nodes of even index from those of odd index until the heal time, as split twins like it."""
    cluster.loop.at(0, partial(cluster.network.split, [node.index for node in cluster.honest if node.index % 2]))


def strike_at_epoch_ends(cluster: Cluster) -> None:
    """Whenever the last block of an epoch is about to become final, cut somebody off or take somebody down (C13)."""
    struck: set[tuple[int, int]] = set()

    def look() -> None:
        for node in cluster.honest:
            if node.engine is None or len(struck) > STRIKES_MAX:
                continue
            consensus = node.engine.consensus
            heights = {block.header.height for block in consensus.tree.blocks.values()}
            where = consensus.config.validators.epoch, cluster.random.randrange(2)
            if consensus.config.last_height in heights and where not in struck:
                struck.add(where)
                strike(cluster)
        if cluster.loop.elapsed_ms < cluster.setting.heal_ms:
            cluster.loop.at(STRIKE_MS, look)

    cluster.loop.at(STRIKE_MS, look)


def strike(cluster: Cluster) -> None:
    """Split the network, mute a part of it, or take a part of it or everybody down, for a while."""
    span_ms = cluster.random.randint(100, 1_500)
    some = [node for node in cluster.honest if cluster.random.random() < 0.5]
    match cluster.random.randrange(4):
        case 0:
            cluster.network.split([node.index for node in some])
        case 1:
            cluster.network.mute([node.index for node in some])
        case 2:
            for node in some:
                cluster.dooms.add(node.index)
        case _:
            for node in tuple(cluster.honest):
                cluster.restart(node, after_ms=cluster.random.randint(10, 500))
    cluster.loop.at(span_ms, cluster.network.heal)


def set_one_clock_wrong(cluster: Cluster) -> None:
    """Set one node's clock an hour ahead or back, for good (C8)."""
    node = cluster.clock_random.choice(cluster.honest)
    node.skew_ms = cluster.clock_random.choice((-HOUR_MS, HOUR_MS))


def wait_for_the_last_third(cluster: Cluster) -> None:
    """Check that two thirds of the weight have finalized nothing when the last third comes (C7)."""

    def check() -> None:
        assert not any(node.disk.blocks for node in cluster.nodes), "exactly two thirds finalized a block"

    cluster.loop.at(min(cluster.setting.late_ms.values()) - 1, check)


def depend_on_the_straggler(cluster: Cluster) -> None:
    """Keep one node cut off until the heal time, and then take another one down, so that it takes the first to go on.

    Meant for faults that let votes through and no block, so that the cut-off node lacks the certificates of all views
    that the others gave up (C9, C16).
    """
    heal_ms = cluster.setting.heal_ms
    straggler, weary = cluster.random.sample(cluster.honest, 2)
    cluster.loop.at(0, partial(cluster.network.split, [straggler.index]))
    heights: list[int] = []

    def tire() -> None:
        heights.append(max(len(node.disk.blocks) for node in cluster.honest))
        cluster.crash(weary)

    def wake() -> None:
        assert len(straggler.disk.blocks) > heights[0], "a straggler stops everybody"
        cluster.boot(weary)

    cluster.loop.at(heal_ms + 1, tire)
    cluster.loop.at(heal_ms + 90_000, wake)
