"""Which score should the bundled tasks give? Measures how often honest voters disagree under several of them.

Runs the protocol's rounds without network or ledger: members drawn at random train, a share of them poisons, the
coordinate-wise median joins the updates, and the honest members outside the committee vote by rule F7 with each score.
The candidate becomes the model when no poisoned update is in it, whatever the votes, so that every score judges the
same candidates. Printed per score and attack:

- ``minority``: the share of honest votes against the majority of the honest ones, which costs their voters stake;
- ``first``: the same in round 1, where the model is untrained;
- ``bad in`` and ``good out``: verdicts of the honest majority: poisoned candidates accepted, clean ones rejected;
- ``flags``: the same two for single updates on the base (F8): poison not condemned, honest updates condemned.

Usage: python bench/score_choice.py [SEEDS] [SPLIT]
"""

import math
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from node.tasks.digits import DigitsTask
from node.tasks.interface import TaskContext
from node.tasks.perceptron import compute_class_probabilities

MEMBERS, MALICIOUS, ROUNDS, TOLERANCE = 7, 2, 12, 0.05
ATTACKS = ("none", "sign_flip", "label_flip", "noise")
PARAMETERS = MappingProxyType(dict(pair.split("=") for pair in sys.argv[4:]))
CPU = torch.device("cpu")

Reals: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Score: TypeAlias = Callable[[Reals, Integers], float]


def of_true(probabilities: Reals, labels: Integers) -> Reals:
    chosen: Reals = probabilities[np.arange(labels.shape[0]), labels]
    return chosen


def accuracy(probabilities: Reals, labels: Integers) -> float:
    return float((probabilities.argmax(axis=1) == labels).mean())


def brier(probabilities: Reals, labels: Integers) -> float:
    truth = np.eye(probabilities.shape[1])[labels]
    return float(((probabilities - truth) ** 2).sum(axis=1).mean())


SCORES: dict[str, Score] = {
    "accuracy": accuracy,
    "mean probability": lambda p, y: float(of_true(p, y).mean()),
    "mean root probability": lambda p, y: float(np.sqrt(of_true(p, y)).mean()),
    "geometric mean": lambda p, y: math.exp(float(np.log(np.maximum(of_true(p, y), 1e-6)).mean())),
    "accuracy + probability": lambda p, y: (accuracy(p, y) + float(of_true(p, y).mean())) / 2,
    "1 - Brier / 2": lambda p, y: 1 - brier(p, y) / 2,
    "accuracy + Brier": lambda p, y: (accuracy(p, y) + 1 - brier(p, y) / 2) / 2,
    "1 - Brier, floor": lambda p, y: max(0.0, 1 - brier(p, y)),
}


def flatten(model: torch.nn.Module) -> Reals:
    return torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy().astype(np.float64)


def fill(model: torch.nn.Module, weights: Reals) -> None:
    torch.nn.utils.vector_to_parameters(torch.from_numpy(weights.astype(np.float32)), model.parameters())


class World:
    """One run: the members' tasks, the model, and everybody's best scores."""

    def __init__(self, seed: int, attack: str, split: str, committee: int) -> None:
        self.random = np.random.Generator(np.random.PCG64(seed))
        self.attack, self.committee = attack, committee
        self.tasks = [
            DigitsTask(
                TaskContext(member_index=index, member_count=MEMBERS, split=split, seed=seed, parameters=PARAMETERS)
            )
            for index in range(MEMBERS)
        ]
        self.malicious = set(range(MALICIOUS)) if attack != "none" else set()
        if attack == "label_flip":
            for index in self.malicious:
                self.tasks[index].flip_labels()
        self.model = self.tasks[0].build_model()
        self.base = flatten(self.model)
        self.held_out = [task.hand.held_out for task in self.tasks]

    def train(self, member: int, round_number: int) -> Reals:
        fill(self.model, self.base)
        self.tasks[member].train(self.model, round=round_number, device=CPU)
        delta = flatten(self.model) - self.base
        if member in self.malicious and self.attack == "sign_flip":
            delta = -4.0 * delta
        if member in self.malicious and self.attack == "noise":
            delta = delta + self.random.normal(0.0, 4.0, size=delta.shape)
        return delta

    def judge(self, weights: Reals) -> dict[tuple[str, int], float]:
        fill(self.model, weights)
        scores = {}
        for member, examples in enumerate(self.held_out):
            probabilities = compute_class_probabilities(self.model, examples, device=CPU).numpy()
            for name, score in SCORES.items():
                scores[name, member] = score(probabilities, examples.labels)
        return scores


def run(seed: int, attack: str, split: str, committee: int, tally: dict[str, Counter[str]]) -> list[float]:
    world = World(seed, attack, split, committee)
    best = world.judge(world.base)
    accuracies = []
    for round_number in range(1, ROUNDS + 1):
        proposers = sorted(world.random.choice(MEMBERS, size=committee, replace=False).tolist())
        deltas = [world.train(member, round_number) for member in proposers]
        voters = [member for member in range(MEMBERS) if member not in proposers and member not in world.malicious]
        candidate = world.base + np.median(deltas, axis=0)
        scores = world.judge(candidate)
        is_sound = not world.malicious.intersection(proposers)
        alone = [world.judge(world.base + delta) for delta in deltas]
        for name in SCORES:
            count = tally[name]
            votes = [scores[name, v] >= (1 - TOLERANCE) * best[name, v] for v in voters]
            yes = sum(votes)
            count["votes"] += len(votes)
            count["minority"] += min(yes, len(votes) - yes)
            if round_number == 1:
                count["first votes"] += len(votes)
                count["first minority"] += min(yes, len(votes) - yes)
            is_accepted = 2 * yes > len(votes)
            count["bad"] += not is_sound
            count["bad in"] += (not is_sound) and is_accepted
            count["good"] += is_sound
            count["good out"] += is_sound and not is_accepted
            for proposer, single in zip(proposers, alone, strict=True):
                flags = sum(single[name, v] < (1 - TOLERANCE) * best[name, v] for v in voters)
                is_condemned = 2 * flags > len(voters)
                kind = "poison" if proposer in world.malicious else "honest"
                count[kind] += 1
                count[kind + " wrong"] += is_condemned != (kind == "poison")
        if is_sound:
            world.base = candidate
            best = {key: max(best[key], scores[key]) for key in best}
        accuracies.append(float(np.mean([world.judge(world.base)["accuracy", member] for member in range(MEMBERS)])))
    return accuracies


def main() -> None:
    torch.set_num_threads(1)
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    split = sys.argv[2] if len(sys.argv) > 2 else "iid"
    committee = int(sys.argv[3]) if len(sys.argv) > 3 else 2
    print(f"{MEMBERS} members, {committee} proposers, {seeds} seeds, {ROUNDS} rounds, split {split}")
    for attack in ATTACKS:
        tally: dict[str, Counter[str]] = defaultdict(Counter)
        curves = np.mean([run(seed, attack, split, committee, tally) for seed in range(seeds)], axis=0)
        print(f"\n{attack}: accuracy by round " + " ".join(f"{value:.2f}" for value in curves))
        print(
            f"{'score':24}{'minority':>9}{'first':>7}{'bad in':>10}{'good out':>10}{'flags: poison':>15}{'honest':>9}"
        )
        for name, count in tally.items():
            print(
                f"{name:24}{count['minority'] / count['votes']:9.3f}"
                f"{count['first minority'] / count['first votes']:7.3f}"
                f"{count['bad in']:6}/{count['bad']:<3}{count['good out']:6}/{count['good']:<3}"
                f"{count['poison wrong']:10}/{count['poison']:<4}{count['honest wrong']:6}/{count['honest']:<4}"
            )


if __name__ == "__main__":
    main()
