"""What the threshold beacon costs one node: per output, and per distributed key generation (B1, B3, B4).

Usage: python -m bench.beacon [--members 4,16,50,150] [--json]

Milliseconds of processor time. An output is one partial signature, and the sum of a threshold of them, verified. A key
generation is all that one of n members computes when all n deal: its own deal, the check of every deal (points,
subgroups, proofs of knowledge), and its share of every deal, decrypted and checked against the commitments, with the
group's key.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from protocol.bls import BlsSigningKey
from protocol.bls.encryption import compute_ephemeral_key, decrypt_share, derive_ephemeral_secret, encrypt_share
from protocol.bls.proofs import check_knowledge, prove_knowledge
from protocol.bls.sharing import (
    add_commitments,
    add_scalars,
    check_commitments,
    check_share,
    compute_commitments,
    compute_share_key,
    derive_polynomial,
)
from protocol.bls.threshold import check_output, check_partial, combine, sign_partial
from protocol.units import BlsProof, BlsPublicKey, BlsScalar, EncryptedShare, Round

CONTEXT = b"bench"
ROUND = Round(1_000)
REPEAT_COUNT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """What a dealer posts."""

    commitments: tuple[BlsPublicKey, ...]
    secret_proof: BlsProof
    ephemeral_key: BlsPublicKey
    ephemeral_proof: BlsProof
    shares: tuple[EncryptedShare, ...]

    def count_bytes(self) -> int:
        parts = (*self.commitments, self.secret_proof, self.ephemeral_key, self.ephemeral_proof, *self.shares)
        return sum(map(len, parts))


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
    derive_share_ms: float
    dkg_ms: float
    deal_bytes: int
    ledger_bytes: int


def make_seed(*words: object) -> bytes:
    return hashlib.sha256(repr(words).encode()).digest()


def make_deal(dealer: int, threshold: int, recipients: list[BlsPublicKey]) -> Deal:
    seed = make_seed("deal", dealer)
    polynomial, ephemeral = derive_polynomial(seed, threshold), derive_ephemeral_secret(seed)
    return Deal(
        commitments=compute_commitments(polynomial),
        secret_proof=prove_knowledge(polynomial.get_secret(), CONTEXT),
        ephemeral_key=compute_ephemeral_key(ephemeral),
        ephemeral_proof=prove_knowledge(ephemeral, CONTEXT),
        shares=tuple(
            encrypt_share(ephemeral, recipient, polynomial.evaluate(index), CONTEXT, index)
            for index, recipient in enumerate(recipients)
        ),
    )


def check_deals(deals: list[Deal]) -> None:
    for deal in deals:
        check_commitments(deal.commitments)
        check_knowledge(deal.commitments[0], deal.secret_proof, CONTEXT)
        check_knowledge(deal.ephemeral_key, deal.ephemeral_proof, CONTEXT)


def derive_share(key: BlsSigningKey, index: int, deals: list[Deal]) -> tuple[BlsScalar, tuple[BlsPublicKey, ...]]:
    shares = []
    for deal in deals:
        share = decrypt_share(key, deal.ephemeral_key, deal.shares[index], CONTEXT, index)
        check_share(deal.commitments, index, share)
        shares.append(share)
    return add_scalars(shares), add_commitments([deal.commitments for deal in deals])


def measure_ms(work: Callable[[], object], *, repeat_count: int = REPEAT_COUNT) -> float:
    """Return the processor time of the fastest run."""
    spent = []
    for _ in range(repeat_count):
        started = time.process_time()
        work()
        spent.append(time.process_time() - started)
    return round(min(spent) * 1_000, 2)


def measure(member_count: int) -> Costs:
    threshold = member_count // 2 + 1
    keys = [BlsSigningKey(make_seed("key", index) * 2) for index in range(member_count)]
    recipients = [key.public_key for key in keys]
    deals = [make_deal(dealer, threshold, recipients) for dealer in range(member_count)]
    deal_ms = measure_ms(lambda: make_deal(0, threshold, recipients))
    # Once only: what is decoded then stays decoded for the next step, on a node as here.
    check_deals_ms = measure_ms(lambda: check_deals(deals), repeat_count=1)
    last = member_count - 1
    derive_share_ms = measure_ms(lambda: derive_share(keys[last], last, deals), repeat_count=1)

    members = [derive_share(keys[index], index, deals) for index in range(threshold)]
    commitments = members[0][1]
    last_share, _ = derive_share(keys[last], last, deals)
    last_partial = sign_partial(last_share, ROUND)
    partials = {index: sign_partial(share, ROUND) for index, (share, _) in enumerate(members)}
    signature = combine(partials, threshold)
    return Costs(
        members=member_count,
        threshold=threshold,
        sign_ms=measure_ms(lambda: sign_partial(members[0][0], ROUND)),
        combine_ms=measure_ms(lambda: combine(partials, threshold)),
        verify_ms=measure_ms(lambda: check_output(commitments[0], ROUND, signature)),
        blame_ms=measure_ms(lambda: check_partial(compute_share_key(commitments, last), ROUND, last_partial)),
        deal_ms=deal_ms,
        check_deals_ms=check_deals_ms,
        derive_share_ms=derive_share_ms,
        dkg_ms=round(deal_ms + check_deals_ms + derive_share_ms, 1),
        deal_bytes=deals[0].count_bytes(),
        ledger_bytes=sum(deal.count_bytes() for deal in deals),
    )


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
        "    deal  check deals  own share     DKG | bytes/deal  ledger KB"
    )
    for cost in costs:
        print(
            f"{cost.members:7} {cost.threshold:4} {cost.sign_ms:7.2f} {cost.combine_ms:8.2f} {cost.verify_ms:7.2f}"
            f" {cost.blame_ms:7.2f} | {cost.deal_ms:7.1f} {cost.check_deals_ms:12.1f} {cost.derive_share_ms:10.1f}"
            f" {cost.dkg_ms:7.1f} | {cost.deal_bytes:10,} {cost.ledger_bytes // 1_000:10,}"
        )
    print("milliseconds of processor time on one node")


if __name__ == "__main__":
    main()
