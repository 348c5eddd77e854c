"""Reads daemons' answers into what the demo works with; members become names."""

from collections.abc import Mapping, Sequence

import trio

from node.control import call
from node.demo.findings import Ledger, Loss, PlayedRound
from node.json_values import JsonObject, get_int, get_list, get_object, get_text
from node.testnet import NodeProcess


def get_names(described: JsonObject, key: str) -> tuple[str, ...]:
    """Return a list of strings out of an answer."""
    return tuple(get_text(name) for name in get_list(described[key]))


def read_round(record: JsonObject, names: Mapping[str, str], *, ready_ms: int) -> PlayedRound:
    """Return a settled round from its description.

    Args:
        record: As a daemon described it.
        names: Each member's name by its full key.
        ready_ms: When the network was up. The first round opens with the genesis document, long before anybody could
            begin, so it counts from here.
    """
    number = get_int(record["round"])
    moves = [get_object(move) for move in get_list(record["moves"])]
    updates = [get_object(update) for update in get_list(record["updates"])]
    return PlayedRound(
        round=number,
        verdict=get_text(record["verdict"]),
        proposers=get_names(record, "proposer_names"),
        voters=get_names(record, "voter_names"),
        accept_count=get_int(record["accept_count"]),
        reject_count=get_int(record["reject_count"]),
        condemned=tuple(names[get_text(update["member"])] for update in updates if update["is_condemned"] is True),
        losses=tuple(
            Loss(
                round=number,
                member=names[get_text(move["member"])],
                reason=get_text(move["reason"]),
                amount=get_int(move["amount"]),
            )
            for move in moves
            if get_text(move["reason"]).startswith("SLASH")
        ),
        model=get_text(record["model"]),
        seconds=max(get_int(record["settled_ms"]) - max(get_int(record["opened_ms"]), ready_ms), 0) / 1_000,
    )


def read_accounts(stakes: JsonObject) -> list[JsonObject]:
    """Return the members' accounts of an answer to ``stakes``."""
    return [get_object(account) for account in get_list(stakes["members"])]


def read_bonded(stakes: JsonObject) -> dict[str, int]:
    """Return each member's bonded stake by name, in micro-tokens."""
    return {get_text(account["name"]): get_int(account["bonded"]) for account in read_accounts(stakes)}


def read_jailed(stakes: JsonObject) -> tuple[str, ...]:
    """Return the names of the members that were convicted."""
    return tuple(get_text(account["name"]) for account in read_accounts(stakes) if account["is_jailed"] is True)


def read_key_names(stakes: JsonObject) -> dict[str, str]:
    """Return each member's name by its full key."""
    return {get_text(account["member"]): get_text(account["name"]) for account in read_accounts(stakes)}


def compute_counted_stake(stakes: JsonObject) -> int:
    """Return the sum of everything the ledger holds, in micro-tokens; it must be the supply (L2)."""
    places = ("bonded", "unbonding", "free")
    held = sum(get_int(account[place]) for account in read_accounts(stakes) for place in places)
    return held + get_int(stakes["treasury"]) + get_int(stakes["burned"])


def read_ledger(node: NodeProcess, status: JsonObject) -> Ledger:
    """Return where a node's ledger stands, from its answer to ``status``."""
    return Ledger(member=node.name, height=get_int(status["height"]), root=get_text(status["state_root"]))


async def ask_all(nodes: Sequence[NodeProcess], command: str) -> list[JsonObject]:
    """Return every node's answer to a command, in their order, asked all at once."""
    answers: dict[str, JsonObject] = {}

    async def ask(node: NodeProcess) -> None:
        answers[node.name] = await node.ask(command)

    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(ask, node)
    return [answers[node.name] for node in nodes]


async def read_recorded_scores(nodes: Sequence[NodeProcess]) -> dict[str, float]:
    """Return the mean score of each model over those nodes that have scored it already, 0 to 1."""
    found: dict[str, list[int]] = {}
    for answer in await ask_all(nodes, "model"):
        for digest, score in get_object(answer["scores"]).items():
            found.setdefault(digest, []).append(get_int(score))
    return {digest: sum(scores) / len(scores) / 1_000_000 for digest, scores in found.items()}


async def measure_scores(nodes: Sequence[NodeProcess], digests: Sequence[str]) -> dict[str, float]:
    """Return the mean score of each model over all these nodes' held-out data, 0 to 1; who cannot score is left out."""
    found: dict[str, list[int]] = {digest: [] for digest in digests}

    async def measure(node: NodeProcess) -> None:
        for digest in digests:
            answer = get_object(await call(node.home, {"command": "score", "digest": digest}))
            if answer["score"] is not None:
                found[digest].append(get_int(answer["score"]))

    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(measure, node)
    return {digest: sum(scores) / len(scores) / 1_000_000 for digest, scores in found.items() if scores}
