"""The weighted set of consensus members of one epoch: quorum, indexes and leaders (C, section 4).

Weights are the bonded stake at the epoch's start. The leader of a view is a weighted draw from (epoch seed, view), a
pure function without rotation state.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from protocol.crypto import Domain, compute_digest
from protocol.errors import InvalidMessage, InvariantViolation
from protocol.units import BlsPublicKey, Digest, Epoch, MemberId, View, Weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Validator:
    """One member of the consensus of an epoch."""

    member: MemberId
    weight: Weight
    bls_key: BlsPublicKey


def compute_quorum_weight(total: Weight) -> Weight:
    """Return the least weight strictly above two thirds of the total."""
    return Weight(total * 2 // 3 + 1)


@dataclass(frozen=True, kw_only=True)
class ValidatorSet:
    """The validators of an epoch, sorted by member."""

    epoch: Epoch
    seed: Digest
    """Where the leaders of this epoch are drawn from."""
    validators: tuple[Validator, ...]

    def __post_init__(self) -> None:
        """Check that the set can reach a quorum at all.

        Raises:
            InvariantViolation: Empty, unsorted, or a weight is zero.
        """
        members = [validator.member for validator in self.validators]
        if not members or members != sorted(set(members)):
            raise InvariantViolation("validators are not sorted, distinct and at least one")
        if any(validator.weight < 1 for validator in self.validators):
            raise InvariantViolation("a validator has no weight")

    @cached_property
    def total_weight(self) -> Weight:
        """The weight of all validators."""
        return Weight(sum(validator.weight for validator in self.validators))

    @cached_property
    def quorum_weight(self) -> Weight:
        """The least weight strictly above two thirds of the total."""
        return compute_quorum_weight(self.total_weight)

    @cached_property
    def _index_by_member(self) -> dict[MemberId, int]:
        return {validator.member: index for index, validator in enumerate(self.validators)}

    @cached_property
    def _cumulative_weights(self) -> list[int]:
        return list(accumulate(validator.weight for validator in self.validators))

    def has_member(self, member: MemberId) -> bool:
        """Return whether a member is a validator of this epoch."""
        return member in self._index_by_member

    def get_index(self, member: MemberId) -> int:
        """Return a validator's position.

        Raises:
            InvalidMessage: The member is no validator of this epoch.
        """
        index = self._index_by_member.get(member)
        if index is None:
            raise InvalidMessage(f"member {member.hex()[:8]} is no validator of epoch {self.epoch}")
        return index

    def get_validator(self, member: MemberId) -> Validator:
        """Return a validator by member; errors as :meth:`get_index`."""
        return self.validators[self.get_index(member)]

    def get_weight(self, member: MemberId) -> Weight:
        """Return a validator's weight; errors as :meth:`get_index`."""
        return self.validators[self.get_index(member)].weight

    def compute_weight(self, members: Iterable[MemberId]) -> Weight:
        """Return the summed weight of distinct validators; errors as :meth:`get_index`."""
        return Weight(sum(map(self.get_weight, members)))

    def is_quorum(self, members: Iterable[MemberId]) -> bool:
        """Return whether distinct validators hold a quorum."""
        return self.compute_weight(members) >= self.quorum_weight

    def compute_leader(self, view: View) -> MemberId:
        """Return the member that may propose in a view: drawn by weight from (epoch seed, view).

        The modulus is below 2**64 and the draw has 256 bits, so the bias is below 2**-192.
        """
        drawn = int.from_bytes(compute_digest(Domain.LEADER, self.seed, view.to_bytes(8, "big")), "big")
        index = bisect_right(self._cumulative_weights, drawn % self.total_weight)
        return self.validators[index].member
