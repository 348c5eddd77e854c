"""How long a node takes to catch up on blocks that it missed, and where the time goes: ``python -m bench.catchup``.

Four daemons make blocks (heartbeats every few milliseconds, real libp2p on loopback). Then one of them loses its
database and starts with an empty ledger, beside the others that go on. The time counts from when it answers on its
control socket until it has the height that the others had at its start. The daemon's own counters tell what it waited
for; a replay of the same blocks in this process tells what the core's time is spent on.
"""

import argparse
import cProfile
import json
import pstats
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import trio

from node.commands.common import quiet_logs
from node.config_keys import Attack
from node.demo.plan import DemoPlan, found_homes
from node.genesis_file import load_genesis
from node.home import load_home
from node.json_values import JsonObject, JsonValue, get_int, get_object
from node.store.reader import SqliteReader
from node.testnet import NodeProcess, open_testnet
from protocol.engine import Engine, EngineConfig
from protocol.genesis import compute_chain_id
from protocol.interface import BlocksFetched, FinalizedBlock
from protocol.ledger.genesis_state import compute_genesis_state
from protocol.parameters import AggregationRule
from protocol.restored import Restored
from protocol.units import Height, Millis

BLOCKS_PER_ANSWER: Final = 200
PARTS: Final = {
    "Ed25519 signatures": ("crypto.py", "check_signature"),
    "executing blocks": ("transition.py", "apply_block"),
    "of that, encoding and hashing the state": ("state.py", "compute_state_root"),
    "certificates, Ed25519 included": ("votes.py", "check_certificate"),
    "hashing headers": ("blocks.py", "compute_block_hash"),
}
"""What the core's time is told apart by: file and function, with all that it calls."""


def get_wall_ms(spent: JsonValue) -> float:
    return float(str(get_object(spent)["wall_ms"]))


async def wait_height(node: NodeProcess, height: int) -> JsonObject:
    """Return the node's status once its ledger has a height."""
    while True:
        status = await node.ask("status")
        if get_int(status["height"]) >= height:
            return status
        await trio.sleep(0.02)


async def measure(plan: DemoPlan, block_count: int) -> tuple[JsonObject, Path]:
    specs = await found_homes(plan)
    async with open_testnet(specs) as testnet:
        first, late = testnet.nodes[0], testnet.nodes[-1]
        testnet.start_all()
        for node in testnet.nodes:
            await node.wait_ready()
        begun_s = time.monotonic()
        await wait_height(first, block_count)
        making_s = time.monotonic() - begun_s
        await late.stop()
        for path in late.home.glob("ledger.db*"):
            path.unlink()
        target = get_int((await first.ask("status"))["height"])
        started_s = time.monotonic()
        late.start()
        await late.wait_ready()
        ready_s = time.monotonic()
        before = get_object((await late.ask("status"))["timings"])
        status = await wait_height(late, target)
        caught_up_s = time.monotonic()
        after = get_object(status["timings"])
        report: JsonObject = {
            "blocks": target,
            "made_in_s": round(making_s, 1),
            "start_s": round(ready_s - started_s, 2),
            "catch_up_s": round(caught_up_s - ready_s, 2),
            "blocks_per_s": round(target / (caught_up_s - ready_s)),
            "wall_ms": {
                name: round(get_wall_ms(after[name]) - get_wall_ms(spent), 1)
                for name, spent in before.items()
            },
        }
        await testnet.stop_all()
    return report, late.home


def profile_core(root: Path) -> JsonObject:
    """Return the milliseconds that the core takes for the blocks of a home's ledger, by what it does."""
    home = load_home(root)
    genesis = load_genesis(home.paths.genesis)
    with closing(SqliteReader(home.paths.ledger, compute_chain_id(genesis))) as reader:
        blocks = [block for block, _ in reader.iterate_blocks(Height(1))]
    config = EngineConfig(
        genesis=genesis, key=home.keys.signing, bls_key=home.keys.bls, salt_secret=bytes(32), started_ms=Millis(1)
    )
    restored = Restored(
        state=compute_genesis_state(genesis), tip=None, records=(), has_vote_log=True, artifacts=frozenset()
    )
    engine = Engine(config, restored)
    engine.start(Millis(1))
    started_s = time.perf_counter()
    feed(engine, blocks)
    plain_ms = (time.perf_counter() - started_s) * 1_000
    engine = Engine(config, restored)
    engine.start(Millis(1))
    profiler = cProfile.Profile()
    profiler.enable()
    feed(engine, blocks)
    profiler.disable()
    stats = pstats.Stats(profiler)
    total_s = stats.total_tt  # type: ignore[attr-defined]  # what its own report calls the total
    shares = {
        part: round(100 * sum(taken for place, taken in iterate_cumulative(stats) if matches(place, where)) / total_s)
        for part, where in PARTS.items()
    }
    return {"blocks": len(blocks), "ms": round(plain_ms, 1), "percent": dict(shares)}


def iterate_cumulative(stats: pstats.Stats) -> list[tuple[tuple[str, int, str], float]]:
    """Return each function with the seconds that it and all it calls took."""
    return [(place, entry[3]) for place, entry in stats.stats.items()]  # type: ignore[attr-defined]


def matches(place: tuple[str, int, str], where: tuple[str, str]) -> bool:
    return Path(place[0]).name == where[0] and place[2] == where[1]


def feed(engine: Engine, blocks: list[FinalizedBlock]) -> None:
    for first in range(0, len(blocks), BLOCKS_PER_ANSWER):
        part = blocks[first : first + BLOCKS_PER_ANSWER]
        while part and part[-1].certificate is None:
            part.pop()
        engine.handle(BlocksFetched(blocks=tuple(part)), Millis(2))
    assert engine.state.height == blocks[-1].block.header.height, "the replay did not come to the tip"


def print_report(report: JsonObject, core: JsonObject) -> None:
    print(f"{report['blocks']} blocks behind, on loopback (made in {report['made_in_s']} s)")
    print(f"  {report['catch_up_s']:>8} s to catch up, {report['blocks_per_s']} blocks/s")
    print(f"  {report['start_s']:>8} s before that, from the command until the daemon answers")
    print("wall ms of the daemon meanwhile, waiting included; they overlap")
    for name, taken in get_object(report["wall_ms"]).items():
        print(f"  {taken:>8} {name}")
    print(f"the core alone, in this process: {core['ms']} ms for {core['blocks']} blocks; percent of it")
    for name, share in get_object(core["percent"]).items():
        print(f"  {share:>8} {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=1_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    quiet_logs()
    with tempfile.TemporaryDirectory(prefix="pnyx-bench-", ignore_cleanup_errors=True) as directory:
        plan = DemoPlan(
            directory=Path(directory),
            is_kept=False,
            node_count=4,
            malicious_count=0,
            attack=Attack.NONE,
            round_count=2,
            task="digits",
            task_params=(),
            settings=("idle_block_ms=20", "block_interval_ms=10"),
            aggregation=AggregationRule.MEDIAN,
            seed=1,
        )
        report, home = trio.run(measure, plan, options.blocks)
        core = profile_core(home)
    if options.json:
        json.dump({**report, "core": core}, sys.stdout, indent=2)
        print()
    else:
        print_report(report, core)


if __name__ == "__main__":
    main()
