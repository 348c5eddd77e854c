"""What the malicious members of a simulation publish, given what they know (:mod:`node.attacks`).

Updates travel in the open, and whoever submits last has seen the others: so the attackers know every update that the
round's honest proposers have published when they craft theirs (*omniscient*, in the papers' words). What they compute
statistics of is these updates and the honest training of those attackers that were drawn, too (*partial knowledge*,
which the papers use alone); with fewer than two such changes in all, more attackers train to help out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from node.attacks.kinds import AttackKind
from node.attacks.vectors import compute_alie, compute_inner_product, compute_min_max, compute_min_sum, search_factor
from node.worker.laboratory import Laboratory, Published, Update, Weights
from node.worker.poison import poison_weights
from protocol.aggregation.fixed_point import UPDATE_MAGNITUDE_MAX
from protocol.units import BPS_WHOLE, Bps, Digest, Round

_ATTACK_STREAM: Final = 0x6D616C69
_KNOWN_COUNT_MIN: Final = 2
_RATCHET_FACTOR_MAX: Final = 16.0
_RATCHET_STEPS: Final = 10
_RATCHET_MARGIN: Final = 0.9
"""Of the tolerance, because other voters' data differ from the attacker's."""

_ON_KNOWN: Final = {AttackKind.ALIE, AttackKind.INNER_PRODUCT, AttackKind.MIN_MAX, AttackKind.MIN_SUM}


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a malicious proposer sees of a round when it is its turn."""

    member: int
    round: Round
    base: Digest
    honest_updates: tuple[Digest, ...]
    """Of the honest proposers of this round."""
    malicious_proposers: tuple[int, ...]
    """This one among them."""
    proposer_count: int
    published: frozenset[Digest]
    """Everything of this round: the ledger takes no update twice (F3)."""


class Malice:
    """The malicious members of one simulation, who know of each other."""

    def __init__(
        self, laboratory: Laboratory, malicious: Sequence[int], kind: AttackKind, *, strength: float, tolerance_bps: Bps
    ) -> None:
        """Poison the data of those whose attack begins there."""
        self._laboratory = laboratory
        self.members = tuple(malicious)
        """The malicious members, by number."""
        self._kind = kind
        self._strength = strength
        self._tolerance = tolerance_bps / BPS_WHOLE
        self._bases: list[Weights] = []
        for member in self.members:
            match kind:
                case AttackKind.LABEL_FLIP:
                    laboratory.tasks[member].flip_labels()
                case AttackKind.BACKDOOR | AttackKind.SCALING:
                    laboratory.tasks[member].plant_backdoor()
                case _:
                    pass

    def note_base(self, base: Digest) -> None:
        """Remember the model that a round starts from, for whoever repeats how it changed."""
        weights = self._laboratory.get_weights(base)
        if not self._bases or not np.array_equal(self._bases[-1], weights):
            self._bases = [*self._bases[-1:], weights]

    def craft(self, situation: Situation) -> tuple[Published, int]:
        """Return the update that an attacker publishes, and how many examples it claims to have used."""
        trained, example_count = self._craft_weights(situation)
        published = self._laboratory.publish(situation.base, trained)
        if published.digest in situation.published:
            disguised = _disguise(self._laboratory.get_update(published.digest), situation.member)
            published = self._laboratory.publish_update(disguised)
        return published, example_count

    def _craft_weights(self, situation: Situation) -> tuple[Weights, int]:
        base = self._laboratory.get_weights(situation.base)
        match self._kind:
            case AttackKind.FREE_ZERO:
                return base, 0
            case AttackKind.FREE_STALE:
                if len(self._bases) < _KNOWN_COUNT_MIN:
                    return base, 0
                return base + (self._bases[-1] - self._bases[-2]), 0
            case AttackKind.FREE_COPY if situation.honest_updates:
                change = self._laboratory.get_change(situation.honest_updates[0])
                return self._laboratory.add_change(base, change), 0
            case _:
                pass
        trained, example_count = self._laboratory.train(situation.member, situation.round, situation.base)
        if self._kind in _ON_KNOWN:
            return self._laboratory.add_change(base, self._compute_hidden(situation)), example_count
        return self._bend(situation, base, trained), example_count

    def _bend(self, situation: Situation, base: Weights, trained: Weights) -> Weights:
        """Return what attackers make of their own training alone."""
        match self._kind:
            case AttackKind.SIGN_FLIP | AttackKind.NOISE:
                seed = [self._laboratory.tasks[situation.member].context.seed, situation.member, situation.round]
                generator = np.random.Generator(np.random.PCG64([*seed, _ATTACK_STREAM]))
                poisoned = poison_weights(self._kind, self._strength, base=base, trained=trained, generator=generator)
                # Tensors that nobody trains stay as they are.
                return self._laboratory.add_change(base, self._laboratory.compute_change(base, poisoned))
            case AttackKind.SCALING:
                factor = self._strength or float(situation.proposer_count)
                return base + np.float32(factor) * (trained - base)
            case AttackKind.RATCHET:
                return self._turn_ratchet(situation, base, trained)
            case _:
                return trained

    def _compute_hidden(self, situation: Situation) -> NDArray[np.float64]:
        known = self._collect_known(situation)
        match self._kind:
            case AttackKind.ALIE:
                malicious_count = len(situation.malicious_proposers)
                return compute_alie(
                    known,
                    member_count=situation.proposer_count,
                    malicious_count=malicious_count,
                    z=self._strength,
                )
            case AttackKind.INNER_PRODUCT:
                return compute_inner_product(known, strength=self._strength)
            case AttackKind.MIN_MAX:
                return compute_min_max(known)
            case _:
                return compute_min_sum(known)

    def _collect_known(self, situation: Situation) -> NDArray[np.float64]:
        base = self._laboratory.get_weights(situation.base)
        changes = [self._laboratory.get_change(digest) for digest in situation.honest_updates]
        helpers = [member for member in self.members if member not in situation.malicious_proposers]
        for member in (*situation.malicious_proposers, *helpers):
            if member in situation.malicious_proposers or len(changes) < _KNOWN_COUNT_MIN:
                trained, _ = self._laboratory.train(member, situation.round, situation.base)
                changes.append(self._laboratory.compute_change(base, trained))
        return np.stack(changes)

    def _turn_ratchet(self, situation: Situation, base: Weights, trained: Weights) -> Weights:
        """Return the largest step backwards that the attacker's own data would still let pass."""
        before = self._laboratory.evaluate(situation.member, situation.base)
        limit = before * (1.0 - _RATCHET_MARGIN * self._tolerance)
        step = trained - base

        def passes(factor: float) -> bool:
            moved = base - np.float32(factor) * step
            return self._laboratory.evaluate_weights(situation.member, moved) >= limit

        factor = search_factor(passes, factor_max=_RATCHET_FACTOR_MAX, step_count=_RATCHET_STEPS)
        return base - np.float32(factor) * step


def _disguise(update: Update, member: int) -> Update:
    """Return an update one unit away in one weight, another weight for every member."""
    first = update.tensors[0].copy()
    place = member % first.shape[0]
    first[place] += -1 if first[place] >= UPDATE_MAGNITUDE_MAX else 1
    return replace(update, tensors=(first, *update.tensors[1:]))
