"""What a malicious member of an experiment publishes instead of what it has trained (:mod:`node.attacks`).

All randomness comes from the caller's generator.
"""

import numpy as np
from numpy.typing import NDArray

from node.attacks.kinds import AttackKind


def poison_weights(
    attack: AttackKind,
    strength: float,
    *,
    base: NDArray[np.float32],
    trained: NDArray[np.float32],
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    """Return what the member pretends to have trained.

    Args:
        attack: Which.
        strength: How much; see :class:`AttackKind`.
        base: float32 [parameters], where training began.
        trained: float32 [parameters], what training gave.
        generator: For ``noise``.

    Returns:
        float32 [parameters].
    """
    if attack is AttackKind.SIGN_FLIP:
        return base - np.float32(strength) * (trained - base)
    if attack is AttackKind.NOISE:
        return trained + np.float32(strength) * generator.standard_normal(trained.shape, dtype=np.float32)
    return trained
