"""Ways for a member to misbehave on request, so that a network's defence can be seen at work.

They change only what the member itself publishes as its update; the rest of the node is honest. All randomness comes
from the caller's generator. Whether a member also votes the wrong way round is not decided here.
"""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class AttackKind(StrEnum):
    """What a member does to its updates."""

    NONE = "none"
    """Nothing: the member is honest."""

    LABEL_FLIP = "label_flip"
    """Train honestly on labels y -> classes - 1 - y. B. Biggio, B. Nelson, P. Laskov, "Poisoning Attacks against
    Support Vector Machines", ICML 2012; in federated learning V. Tolpekin et al., "Data Poisoning Attacks Against
    Federated Learning Systems", ESORICS 2020; this mapping M. Fang et al., "Local Model Poisoning Attacks to
    Byzantine-Robust Federated Learning", USENIX Security 2020, section 4.1."""

    SIGN_FLIP = "sign_flip"
    """Publish the honest change times minus the strength. L. Li et al., "RSA: Byzantine-Robust Stochastic Aggregation
    Methods for Distributed Learning from Heterogeneous Datasets", AAAI 2019, section 5 (there and by default 4)."""

    NOISE = "noise"
    """Add Gaussian noise to every weight, its standard deviation the strength. P. Blanchard et al., "Machine Learning
    with Adversaries: Byzantine Tolerant Gradient Descent", NeurIPS 2017, section 5 (there 200, in place of the honest
    change). Noise of a few times the size of the change itself does no harm worth a vote: bench/score_choice.py."""


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
