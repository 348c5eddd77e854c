"""What a member gains by withholding, under RANDAO and under the threshold beacon; ``bench.draws`` prints it.

Ten members with equal stake, three of them one attacker's, which wants one of its own to be drawn first. Leaders,
reveals, mixes, partial signatures and draws are the protocol's own functions, with real keys.

Under RANDAO (B5) a round draws from the mix after the block that follows the one that opened it. The attacker plays as
well as anybody can: it knows all leaders in advance and its own reveals, so at each block of its own it compares what
it can expect from proposing with what it can expect from leaving the block to the next leader. Under the threshold
beacon (B1, B2) it can refuse its partial signatures once it knows the output; the others then combine theirs.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from protocol.beacon.randao import compute_first_mix, fold_mix
from protocol.beacon.sortition import compute_draw_order, compute_roles_seed
from protocol.blocks import compute_reveal
from protocol.bls import BlsSigningKey
from protocol.bls.sharing import add_commitments, add_scalars, compute_commitments, derive_polynomial
from protocol.bls.threshold import check_output, combine, compute_randomness, sign_partial
from protocol.units import BlsPublicKey, BlsScalar, BlsSignature, Digest, Epoch, MemberId, Round, View, Weight
from protocol.validators import Validator, ValidatorSet

MEMBER_COUNT = 10
ATTACKERS = frozenset({0, 1, 2})
SHARE = len(ATTACKERS) / MEMBER_COUNT
EPOCH = Epoch(0)


def make_digest(*words: object) -> Digest:
    return Digest(hashlib.sha256(repr(words).encode()).digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupKey:
    """A threshold key as the key generation leaves it, but with its secret in one hand."""

    secret: BlsScalar
    """The sum of all dealers' secrets, which no member of a network ever has: its signature is what any threshold of
    partial signatures combines to, for a tenth of the work."""
    public_key: BlsPublicKey
    shares: tuple[BlsScalar, ...]
    threshold: int

    def combine(self, round_number: Round, indexes: Sequence[int]) -> BlsSignature:
        """Return the round's signature as some members make it."""
        partials = {index: sign_partial(self.shares[index], round_number) for index in indexes}
        return combine(partials, self.threshold)


def make_group_key(member_count: int, *words: object) -> GroupKey:
    threshold = member_count // 2 + 1
    polynomials = [
        derive_polynomial(make_digest("dealer", dealer, *words), threshold) for dealer in range(member_count)
    ]
    return GroupKey(
        secret=add_scalars([polynomial.get_secret() for polynomial in polynomials]),
        public_key=add_commitments([compute_commitments(polynomial) for polynomial in polynomials])[0],
        shares=tuple(add_scalars([dealt.evaluate(index) for dealt in polynomials]) for index in range(member_count)),
        threshold=threshold,
    )


class RandaoGame:
    """Rounds that draw from the RANDAO mix, against an attacker that withholds blocks."""

    def __init__(self, *words: object) -> None:
        """Start a network whose leaders follow from the words."""
        self._chain_id = make_digest("chain", *words)
        self._view = 1
        self._mix = compute_first_mix(self._chain_id, make_digest("seed", *words))
        self._round = 0

    @cached_property
    def _keys(self) -> list[BlsSigningKey]:
        return [BlsSigningKey(make_digest("key", index) * 2) for index in range(MEMBER_COUNT)]

    @cached_property
    def _validators(self) -> ValidatorSet:
        members = [MemberId(index.to_bytes(32, "big")) for index in range(MEMBER_COUNT)]
        validators = tuple(
            Validator(member=member, weight=Weight(1), bls_key=key.public_key)
            for member, key in zip(members, self._keys, strict=True)
        )
        return ValidatorSet(epoch=EPOCH, seed=make_digest("leaders", self._chain_id), validators=validators)

    def play(self, *, is_withholding: bool) -> bool:
        """Play one round; return whether one of the attacker's members is drawn first."""
        self._round += 1
        is_opened = False
        while True:
            view, self._view = self._view, self._view + 1
            is_attackers = self._get_leader(view) in ATTACKERS
            mix = self._fold(self._mix, view)
            if is_withholding and is_attackers:
                proposed = self._estimate_block(mix, view, is_opened=is_opened)
                if self._estimate(self._mix, view + 1, is_opened=is_opened) > proposed:
                    continue
            self._mix = mix
            if is_opened:
                return self._is_won(mix)
            is_opened = True

    def _estimate(self, mix: Digest, view: int, *, is_opened: bool) -> float:
        """Return the attacker's chance when a view begins, given all that it can know then."""
        if self._get_leader(view) not in ATTACKERS:
            return SHARE if is_opened else self._estimate_blind(view + 1)
        proposed = self._estimate_block(self._fold(mix, view), view, is_opened=is_opened)
        return max(proposed, self._estimate(mix, view + 1, is_opened=is_opened))

    def _estimate_block(self, mix: Digest, view: int, *, is_opened: bool) -> float:
        """Return the attacker's chance after its own block in a view, which made this mix."""
        return float(self._is_won(mix)) if is_opened else self._estimate(mix, view + 1, is_opened=True)

    def _estimate_blind(self, view: int) -> float:
        """Return the attacker's chance when a round is open and the mix still depends on somebody else's reveal."""
        if self._get_leader(view) not in ATTACKERS:
            return SHARE
        return SHARE + (1 - SHARE) * self._estimate_blind(view + 1)

    def _get_leader(self, view: int) -> int:
        return self._validators.get_index(self._validators.compute_leader(View(view)))

    def _fold(self, mix: Digest, view: int) -> Digest:
        key = self._keys[self._get_leader(view)]
        return fold_mix(mix, compute_reveal(self._chain_id, key, EPOCH, View(view)))

    def _is_won(self, output: Digest) -> bool:
        return is_won(self._chain_id, Round(self._round), output)


def is_won(chain_id: Digest, round_number: Round, output: Digest) -> bool:
    """Return whether one of the attacker's members is drawn first."""
    seed = compute_roles_seed(chain_id, round_number, output)
    return compute_draw_order(seed, (1,) * MEMBER_COUNT)[0] in ATTACKERS


def play_threshold(group: GroupKey, round_number: Round) -> tuple[bool, bool]:
    """Play one round of the threshold beacon.

    The attacker computes the output first, from all that it can get, and refuses its partial signatures if it loses;
    the round then draws from what the honest members combine.

    Returns:
        Whether the attacker would have won, and whether it has.
    """
    chain_id = make_digest("chain", "threshold")
    with_attacker = group.combine(round_number, range(group.threshold))
    would_win = is_won(chain_id, round_number, compute_randomness(with_attacker))
    if would_win:
        return True, True
    honest = [index for index in range(MEMBER_COUNT) if index not in ATTACKERS]
    signature = group.combine(round_number, honest)
    check_output(group.public_key, round_number, signature)
    return False, is_won(chain_id, round_number, compute_randomness(signature))


def measure_withholding(round_count: int) -> Mapping[str, float]:
    """Return the attacker's share of rounds won, by beacon and behaviour."""
    honest, withholding = RandaoGame("game"), RandaoGame("game")
    group = make_group_key(MEMBER_COUNT, "withholding")
    rounds = range(1, round_count + 1)
    threshold = [play_threshold(group, Round(number)) for number in rounds]
    return {
        "RANDAO, no block withheld": sum(honest.play(is_withholding=False) for _ in rounds) / round_count,
        "RANDAO, blocks withheld": sum(withholding.play(is_withholding=True) for _ in rounds) / round_count,
        "threshold, nothing withheld": sum(before for before, _ in threshold) / round_count,
        "threshold, partial signatures withheld": sum(after for _, after in threshold) / round_count,
    }
