"""The integer expressions of protocol/aggregation once more, with torch: see bench.candidate_bits."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from bench.candidate_bits import Case
from protocol.aggregation.candidate import SMALLEST_NORMAL, WEIGHTED_SHIFT_MAX
from protocol.aggregation.fixed_point import FixedPoint
from protocol.aggregation.products import PRODUCT_EXPONENT, Products
from protocol.aggregation.recipes import Recipe, TrimmedMean, WeightedMean
from protocol.aggregation.rules import RULES_OF_WHOLE_UPDATES, make_recipe
from protocol.parameters import AggregationRule


def compute_with_torch(case: Case, rule: AggregationRule, device: str) -> list[NDArray[np.float32]]:
    """Return the candidate's tensors; what the recipe is, is decided by the integers of protocol/ in either case."""
    products = _compute_products(case, device) if rule in RULES_OF_WHOLE_UPDATES else None
    recipe = make_recipe(replace(case.choice, rule=rule), update_count=case.update_count, products=products)
    return [
        _compute_candidate(recipe, tensor.base, [tensor.members[member] for member in recipe.members], device)
        for tensor in case.tensors
    ]


def _compute_products(case: Case, device: str) -> Products:
    count = case.update_count
    sums = [[0] * count for _ in range(count)]
    for tensor in case.tensors:
        rows = [torch.from_numpy(member.update).to(device).long() for member in tensor.members]
        exponents = [member.scale_exponent for member in tensor.members]
        for i in range(count):
            for j in range(count):
                shift = exponents[i] + exponents[j] - PRODUCT_EXPONENT
                sums[i][j] += int((rows[i] * rows[j]).sum().item()) << shift
    return tuple(tuple(row) for row in sums)


def _compute_candidate(
    recipe: Recipe, base: NDArray[np.float32], members: Sequence[FixedPoint], device: str
) -> NDArray[np.float32]:
    rows = torch.stack([torch.from_numpy(member.update).to(device).long() for member in members])
    exponents = torch.tensor([member.scale_exponent for member in members], device=device)
    if isinstance(recipe, WeightedMean):
        exponent = max(int(exponents.min()), int(exponents.max()) - WEIGHTED_SHIFT_MAX)
        weighted = rows * torch.tensor(recipe.weights, device=device)[:, None]
        up, down = (exponents - exponent).clamp(min=0)[:, None], (exponent - exponents).clamp(min=0)[:, None]
        halves = torch.where(down > 0, torch.ones_like(down) << (down - 1).clamp(min=0), torch.zeros_like(down))
        numerator = (((weighted << up) + halves) >> down).sum(dim=0)
        divisor = recipe.divisor
    else:
        exponent = int(exponents.min())
        ordered = (rows << (exponents - exponent)[:, None]).sort(dim=0).values
        if isinstance(recipe, TrimmedMean):
            kept = ordered[recipe.trim_count : len(members) - recipe.trim_count]
            numerator, divisor = kept.sum(dim=0), kept.shape[0]
        else:
            numerator, divisor = _sum_near_median(ordered, recipe.keep_count), recipe.keep_count
    # A divisor that is no tensor of the device is turned into its reciprocal there, and the product has other bits.
    divisors = torch.full_like(numerator, divisor, dtype=torch.float64)
    weights = torch.from_numpy(base).to(device).double() + numerator.double() * 2.0**exponent / divisors
    weights = torch.where(weights.abs() < SMALLEST_NORMAL, torch.zeros_like(weights), weights)
    candidate: NDArray[np.float32] = weights.float().cpu().numpy()
    return candidate


def _sum_near_median(ordered: torch.Tensor, keep_count: int) -> torch.Tensor:
    """Return the sums of the integers closest to the median, found by sorting distances and not by windows."""
    count = ordered.shape[0]
    doubled_median = ordered[(count - 1) // 2] + ordered[count // 2]
    distances = (2 * ordered - doubled_median).abs()
    # The integers ascend already, so a stable sort puts the lower of two equally close ones first.
    closest = distances.sort(dim=0, stable=True).indices[:keep_count]
    return ordered.gather(0, closest).sum(dim=0)
