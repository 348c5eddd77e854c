"""Do draws follow the stake, and does withholding pay? Roles from real outputs, and one attacker against two beacons.

Usage: python -m bench.draws [--rounds 40000] [--withholding-rounds 10000] [--json]

The first part draws roles for every round of one group key and compares who is drawn first, and who second, with the
capped stakes: chi-square and its p-value, the chance that fair draws differ at least as much. The second part is
``bench.withholding``. Exit code 1: a draw that fair ones would match once in ten thousand tries, or a gain where there
should be none, or none where there should be one.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from bench.withholding import make_digest, make_group_key, measure_withholding
from protocol.beacon.sortition import compute_draw_order, compute_draw_weights, compute_roles_seed
from protocol.bls.threshold import check_output, compute_randomness, sign_partial
from protocol.parameters import Parameters, Preset
from protocol.units import Round, Stake

STAKES = (400, 120, 100, 64, 64, 64, 64, 40, 40, 25, 11, 8)
"""In tokens, 1,000 together: the first is above the cap, a quarter of all."""
SPOT_CHECK_ROUNDS = 400
"""Every so many rounds the signature is also combined from partial signatures, and verified."""
P_VALUE_MIN = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How well the draws of one place fit their exact chances."""

    place: str
    counts: tuple[int, ...]
    expected: tuple[float, ...]
    chi_square: float
    degrees: int
    p_value: float


def compute_p_value(chi_square: float, degrees: int) -> float:
    """Return the upper tail of the chi-square distribution, by the recurrence of the incomplete gamma function."""
    half = chi_square / 2
    order, tail = (0.5, math.erfc(math.sqrt(half))) if degrees % 2 else (1.0, math.exp(-half))
    while order < degrees / 2 - 0.25:
        tail += math.exp(order * math.log(half) - half - math.lgamma(order + 1)) if half > 0 else 0.0
        order += 1
    return min(tail, 1.0)


def compute_fit(place: str, counts: Sequence[int], chances: Sequence[float]) -> Fit:
    expected = [sum(counts) * chance for chance in chances]
    chi_square = sum((count - mean) ** 2 / mean for count, mean in zip(counts, expected, strict=True))
    degrees = len(counts) - 1
    return Fit(
        place=place,
        counts=tuple(counts),
        expected=tuple(round(mean, 1) for mean in expected),
        chi_square=round(chi_square, 2),
        degrees=degrees,
        p_value=compute_p_value(chi_square, degrees),
    )


def get_weights() -> tuple[int, ...]:
    stakes = tuple(Stake(tokens * 1_000_000) for tokens in STAKES)
    return compute_draw_weights(Preset.NEUTRAL, Parameters().draw_weight_max_bps, stakes)


def measure_draws(round_count: int) -> list[Fit]:
    """Draw the roles of so many rounds and compare with the capped stakes.

    A round's signature is that of the group's secret, which is what partial signatures combine to; at some rounds it is
    combined, by other members each time, and compared.
    """
    weights, chain_id = get_weights(), make_digest("chain", "draws")
    group = make_group_key(len(weights), "draws")
    first, second = [0] * len(weights), [0] * len(weights)
    for number in range(1, round_count + 1):
        signature = sign_partial(group.secret, Round(number))
        if number % SPOT_CHECK_ROUNDS == 0:
            indexes = [(number // SPOT_CHECK_ROUNDS + step) % len(weights) for step in range(group.threshold)]
            assert group.combine(Round(number), indexes) == signature
            check_output(group.public_key, Round(number), signature)
        seed = compute_roles_seed(chain_id, Round(number), compute_randomness(signature))
        order = compute_draw_order(seed, weights)
        first[order[0]] += 1
        second[order[1]] += 1
    chances = [weight / sum(weights) for weight in weights]
    second_chances = [
        chance * sum(other / (1 - other) for index, other in enumerate(chances) if index != own)
        for own, chance in enumerate(chances)
    ]
    return [compute_fit("first", first, chances), compute_fit("second", second, second_chances)]


def print_fits(fits: Sequence[Fit]) -> None:
    weights = get_weights()
    print("stake, tokens   weight   " + "   ".join(f"{fit.place + ': drawn':>14} {'expected':>9}" for fit in fits))
    for index, tokens in enumerate(STAKES):
        row = "   ".join(f"{fit.counts[index]:14,} {fit.expected[index]:9,.1f}" for fit in fits)
        print(f"{tokens:13} {weights[index] / sum(weights):8.4f}   {row}")
    for fit in fits:
        print(f"{fit.place}: chi-square {fit.chi_square} with {fit.degrees} degrees of freedom, p = {fit.p_value:.4f}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Do draws follow the stake, and does withholding pay?")
    parser.add_argument("--rounds", type=int, default=40_000, help="rounds of draws to compare with the stakes")
    parser.add_argument(
        "--withholding-rounds", type=int, default=10_000, help="rounds against the attacker, per beacon"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    fits = measure_draws(arguments.rounds)
    shares = measure_withholding(arguments.withholding_rounds)
    if arguments.json:
        print(json.dumps({"draws": [asdict(fit) for fit in fits], "withholding": dict(shares)}, indent=2))
    else:
        print_fits(fits)
        print("an attacker with 30 % of the stake, by its share of first places")
        for name, share in shares.items():
            print(f"  {name:<40} {share:.1%}")
    gained = shares["threshold, partial signatures withheld"] - shares["threshold, nothing withheld"]
    control = shares["RANDAO, blocks withheld"] - shares["RANDAO, no block withheld"]
    return int(any(fit.p_value < P_VALUE_MIN for fit in fits) or gained != 0 or control <= 0)


if __name__ == "__main__":
    sys.exit(main())
