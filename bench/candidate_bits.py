"""Whether a candidate has the same bits on this machine: ``python -m bench.candidate_bits``.

Computes candidates of fixed inputs by every aggregation rule (F4, F5) with numpy, with torch on the processor, and,
where there is one, with torch on a GPU, and compares each with the digests in tests/vectors/candidates.json. Needs
numpy and the modules of protocol/ named below; torch is left out where it is missing. Ends with 1 if a digest differs.

``--write`` writes the digests that numpy computes instead.
"""

import argparse
import hashlib
import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protocol.aggregation.candidate import compute_candidate
from protocol.aggregation.fixed_point import FixedPoint
from protocol.aggregation.products import ProductSums
from protocol.aggregation.rules import RULES_OF_WHOLE_UPDATES, make_recipe
from protocol.parameters import AggregationChoice, AggregationRule, Parameters, get_aggregation_choice

VECTORS: Final = Path(__file__).parents[1] / "tests/vectors/candidates.json"

DEFAULTS: Final = get_aggregation_choice(Parameters())


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInput:
    """One tensor of the base, and of every update in canonical order."""

    base: NDArray[np.float32]
    members: tuple[FixedPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A small model's base and updates, and the numbers that the rules go by."""

    choice: AggregationChoice
    tensors: tuple[TensorInput, ...]

    @property
    def update_count(self) -> int:
        return len(self.tensors[0].members)


def draw_integers(purpose: str, count: int) -> NDArray[np.int16]:
    """Return int16 that depend on no library's generator: the output of SHAKE-128."""
    return np.frombuffer(hashlib.shake_128(purpose.encode()).digest(2 * count), dtype="<i2").astype(np.int16)


def draw_base(purpose: str, count: int) -> NDArray[np.float32]:
    """Return float32 of many magnitudes, zeros and subnormal numbers among them."""
    mantissas = draw_integers(f"{purpose} mantissas", count).astype(np.float32)
    exponents = draw_integers(f"{purpose} exponents", count).astype(np.int32) % 40 - 30
    exponents[::97] = -140
    return np.ldexp(mantissas, exponents).astype(np.float32)


def make_tensor(purpose: str, count: int, exponents: Sequence[int], *, honest_count: int) -> TensorInput:
    """Return a tensor whose first updates, the honest ones, are alike, and the others anything."""
    common = draw_integers(f"{purpose} common", count) // np.int16(2)
    members = []
    for index, exponent in enumerate(exponents):
        drawn = draw_integers(f"{purpose} update {index}", count)
        update = common + drawn // np.int16(4) if index < honest_count else drawn
        members.append(FixedPoint(update=update, scale_exponent=exponent))
    return TensorInput(base=draw_base(purpose, count), members=tuple(members))


def make_extreme_tensor(count: int) -> TensorInput:
    """Return the ends of int16 and of the scales, and updates that are equal or opposite: distances tie."""
    lowest, highest = np.full(count, -(2**15), dtype=np.int16), np.full(count, 2**15 - 1, dtype=np.int16)
    drawn = draw_integers("twins", count)
    rows = ((lowest, -8), (highest, -8), (drawn, -8), (drawn, -48), (drawn, -48), (lowest, -48), (highest, -28))
    members = tuple(FixedPoint(update=update, scale_exponent=exponent) for update, exponent in rows)
    return TensorInput(base=draw_base("twins", count), members=members)


def make_cases() -> dict[str, Case]:
    """Return the fixed inputs by name."""
    honest, attackers = (-20, -21, -20, -22, -20, -21, -20), (-10, -12, -9)
    fixed = replace(DEFAULTS, clip_radius_micro=5_000_000, aggregation_iterations=7)
    return {
        "seven and three": Case(
            choice=DEFAULTS,
            tensors=(
                make_tensor("matrix", 50_000, honest + attackers, honest_count=7),
                make_tensor("bias", 7, (-24,) * 10, honest_count=7),
                make_tensor("number", 1, honest[::-1] + attackers, honest_count=7),
            ),
        ),
        "scales far apart": Case(
            choice=fixed, tensors=(make_tensor("far", 3_000, (-48, -40, -30, -20, -8), honest_count=3),)
        ),
        "two": Case(choice=DEFAULTS, tensors=(make_tensor("two", 1_000, (-20, -18), honest_count=1),)),
        "ties and extremes": Case(choice=fixed, tensors=(make_extreme_tensor(1_000),)),
        "forty": Case(choice=DEFAULTS, tensors=(make_tensor("forty", 700, (-20, -23) * 20, honest_count=29),)),
    }


def compute_with_numpy(case: Case, rule: AggregationRule) -> list[NDArray[np.float32]]:
    """Return the candidate's tensors as a worker computes them."""
    products = None
    if rule in RULES_OF_WHOLE_UPDATES:
        sums = ProductSums(case.update_count)
        for tensor in case.tensors:
            sums.add(tensor.members)
        products = sums.get()
    recipe = make_recipe(replace(case.choice, rule=rule), update_count=case.update_count, products=products)
    return [
        compute_candidate(recipe, tensor.base, [tensor.members[member] for member in recipe.members])
        for tensor in case.tensors
    ]


def compute_digest(tensors: Sequence[NDArray[np.float32]]) -> str:
    return hashlib.sha256(b"".join(tensor.astype("<f4").tobytes() for tensor in tensors)).hexdigest()


def compute_digests() -> dict[str, dict[str, str]]:
    """Return the digest of every case and rule, computed with numpy."""
    return {
        name: {rule.name.lower(): compute_digest(compute_with_numpy(case, rule)) for rule in AggregationRule}
        for name, case in make_cases().items()
    }


def compute_torch_digests(device: str) -> dict[str, dict[str, str]]:
    """Return the digest of every case and rule, computed with torch."""
    from bench.candidate_torch import compute_with_torch

    return {
        name: {rule.name.lower(): compute_digest(compute_with_torch(case, rule, device)) for rule in AggregationRule}
        for name, case in make_cases().items()
    }


def compare(what: str, computed: dict[str, dict[str, str]], expected: dict[str, dict[str, str]]) -> bool:
    """Print what differs and return whether nothing does."""
    pairs = [(name, rule) for name, rules in expected.items() for rule in rules]
    different = [(name, rule) for name, rule in pairs if computed[name][rule] != expected[name][rule]]
    print(f"{what}: {len(pairs) - len(different)} of {len(pairs)} candidates have the pinned bits")
    for name, rule in different:
        print(f"  DIFFERS: {rule} of {name!r}: {computed[name][rule][:16]}, pinned {expected[name][rule][:16]}")
    return not different


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the bits of candidates.")
    parser.add_argument("--write", action="store_true", help="write the digests that numpy computes")
    if parser.parse_args().write:
        VECTORS.write_text(json.dumps(compute_digests(), indent=2) + "\n", encoding="utf-8")
        return 0
    expected = json.loads(VECTORS.read_text(encoding="utf-8"))
    print(f"python {sys.version.split()[0]}, numpy {np.__version__}")
    agrees = compare("numpy", compute_digests(), expected)
    if importlib.util.find_spec("torch") is None:
        print("torch is missing: nothing to compare on a GPU")
        return 0 if agrees else 1
    import torch

    print(f"torch {torch.__version__}, CUDA {torch.version.cuda or 'missing'}")
    agrees &= compare("torch, cpu", compute_torch_digests("cpu"), expected)
    for index in range(torch.cuda.device_count()):
        device = f"cuda:{index}"
        name = torch.cuda.get_device_name(index)
        agrees &= compare(f"torch, {device} ({name})", compute_torch_digests(device), expected)
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main())
