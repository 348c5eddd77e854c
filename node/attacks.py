"""Ways for a member to misbehave on request, so that a network's defence can be seen at work.

They change only what the member itself publishes as its update (:mod:`node.worker.poison`); the rest of the node is
honest. Whether a member also votes the wrong way round is not decided here.
"""

from enum import StrEnum


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
