"""What the threshold beacon costs one node: per output, and per distributed key generation (B1, B3, B4).

Usage: python -m bench.beacon [--members 4,16,50,150] [--json]

Milliseconds of processor time. An output is one partial signature, and the sum of a threshold of them, verified. A key
generation is all that one of n members computes when all n deal, by the functions that a node calls: its own deal, the
check of every deal (points, subgroups, proofs of knowledge), the check of its share of every deal, the sum of all
commitments, and its share of the key. The bytes are those of the signed operations on the ledger.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

from protocol.beacon.dealing import (
    Ceremony,
    build_deal,
    build_group_key,
    check_deal,
    derive_share,
    find_complaints,
)
from protocol.beacon.group_key import GroupKey, split_points
from protocol.bls import BlsSigningKey, check_output, check_partial, combine, compute_share_key, sign_partial
from protocol.codec import encode
from protocol.crypto import SigningKey
from protocol.operations import PostDeal, sign_operation
from protocol.units import Digest, Epoch, MemberId, Round, Sequence

ROUND: Final = Round(1_000)
REPEAT_COUNT: Final = 5
CHAIN_ID: Final = Digest(hashlib.sha256(b"bench").digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Milliseconds of one node with n members, but for the bytes."""

    members: int
    threshold: int
    sign_ms: float
    combine_ms: float
    verify_ms: float
    blame_ms: float
    """The check of one partial signature, with the public key of its share from the commitments."""
    deal_ms: float
    check_deals_ms: float
    check_shares_ms: float
    sum_ms: float
    """The group's key, from all commitments."""
    derive_share_ms: float
    dkg_ms: float
    deal_bytes: int
    ledger_bytes: int


def make_seed(*words: object) -> bytes:
    return hashlib.sha256(repr(words).encode()).digest()


def measure_ms(work: Callable[[], object], *, repeat_count: int = REPEAT_COUNT) -> float:
    """Return the processor time of the fastest run."""
    spent = []
    for _ in range(repeat_count):
        started = time.process_time()
        work()
        spent.append(time.process_time() - started)
    return round(min(spent) * 1_000, 2)


def check_deals(ceremony: Ceremony, deals: list[tuple[MemberId, PostDeal]]) -> None:
    for member, deal in deals:
        check_deal(ceremony, member, deal)


def measure(member_count: int) -> Costs:
    signing_keys = sorted((SigningKey(make_seed("sign", index)) for index in range(member_count)), key=get_member)
    keys = [BlsSigningKey(make_seed("key", index) * 2) for index in range(member_count)]
    ceremony = Ceremony(
        chain_id=CHAIN_ID,
        epoch=Epoch(0),
        dealers=tuple(key.member for key in signing_keys),
        bls_keys=tuple(key.public_key for key in keys),
    )
    deals = [
        (member, build_deal(ceremony, member, make_seed("secret", index)))
        for index, member in enumerate(ceremony.dealers)
    ]
    deal_ms = measure_ms(lambda: build_deal(ceremony, ceremony.dealers[0], make_seed("secret", 0)))
    # Once only: what is decoded then stays decoded for the next step, on a node as here.
    check_deals_ms = measure_ms(lambda: check_deals(ceremony, deals), repeat_count=1)
    last = member_count - 1
    check_shares_ms = measure_ms(lambda: find_complaints(ceremony, deals, keys[last]), repeat_count=1)
    sum_ms = measure_ms(lambda: build_group_key(ceremony, deals), repeat_count=1)
    key = build_group_key(ceremony, deals)
    assert key is not None
    derive_ms = measure_ms(lambda: derive_share(CHAIN_ID, key, ceremony.dealers[last], keys[last]), repeat_count=1)
    outputs = measure_outputs(key, keys)
    deal_bytes = count_bytes(signing_keys[0], deals[0][1])
    return Costs(
        members=member_count,
        threshold=key.threshold,
        **outputs,
        deal_ms=deal_ms,
        check_deals_ms=check_deals_ms,
        check_shares_ms=check_shares_ms,
        sum_ms=sum_ms,
        derive_share_ms=derive_ms,
        dkg_ms=round(deal_ms + check_deals_ms + check_shares_ms + sum_ms + derive_ms, 1),
        deal_bytes=deal_bytes,
        ledger_bytes=deal_bytes * member_count,
    )


def measure_outputs(key: GroupKey, keys: list[BlsSigningKey]) -> dict[str, float]:
    """Return what one output costs, by the names of :class:`Costs`."""
    shares = [
        derive_share(CHAIN_ID, key, holder, own)
        for holder, own in zip(key.holders[: key.threshold], keys[: key.threshold], strict=True)
    ]
    partials = {index: sign_partial(share, ROUND) for index, share in enumerate(shares)}
    signature, commitments = combine(partials, key.threshold), split_points(key.commitments)
    return {
        "sign_ms": measure_ms(lambda: sign_partial(shares[0], ROUND)),
        "combine_ms": measure_ms(lambda: combine(partials, key.threshold)),
        "verify_ms": measure_ms(lambda: check_output(key.public_key, ROUND, signature)),
        "blame_ms": measure_ms(lambda: check_partial(compute_share_key(commitments, 0), ROUND, partials[0])),
    }


def get_member(key: SigningKey) -> MemberId:
    return key.member


def count_bytes(key: SigningKey, deal: PostDeal) -> int:
    """Return the size of the operation that posts a deal."""
    return len(encode(sign_operation(CHAIN_ID, key, Sequence(0), deal)))


def main() -> None:
    parser = argparse.ArgumentParser(description="What the threshold beacon costs one node.")
    parser.add_argument("--members", default="4,16,50,150", help="numbers of members, separated by commas")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    costs = [measure(int(text)) for text in arguments.members.split(",")]
    if arguments.json:
        print(json.dumps([asdict(cost) for cost in costs], indent=2))
        return
    print(
        "members    t    sign  combine  verify   blame |"
        "    deal  check deals  check shares    sum  own share     DKG | bytes/deal  ledger KB"
    )
    for cost in costs:
        print(
            f"{cost.members:7} {cost.threshold:4} {cost.sign_ms:7.2f} {cost.combine_ms:8.2f} {cost.verify_ms:7.2f}"
            f" {cost.blame_ms:7.2f} | {cost.deal_ms:7.1f} {cost.check_deals_ms:12.1f} {cost.check_shares_ms:13.1f}"
            f" {cost.sum_ms:6.1f} {cost.derive_share_ms:10.1f} {cost.dkg_ms:7.1f}"
            f" | {cost.deal_bytes:10,} {cost.ledger_bytes // 1_000:10,}"
        )
    print("milliseconds of processor time on one node")


if __name__ == "__main__":
    main()
