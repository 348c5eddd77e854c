"""What a malicious member does to its updates, and what it does with its votes; each with its source.

A daemon knows those kinds that need nothing but the member's own data: ``label_flip``, ``sign_flip`` and ``noise``. The
others need to know what other members do, or a task that can plant a back door, and are for ``pnyx simulate``.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class AttackKind(StrEnum):
    """What a member does to its updates."""

    NONE = "none"
    """Nothing: the updates are honest."""

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

    ALIE = "alie"
    """Publish the mean of the known changes minus z times their standard deviation, small enough to hide among them.
    G. Baruch, M. Baruch, Y. Goldberg, "A Little Is Enough: Circumventing Defenses For Distributed Learning", NeurIPS
    2019, algorithm 3. The strength is z; 0 takes the paper's z_max."""

    INNER_PRODUCT = "inner_product"
    """Publish minus the strength times the mean of the known changes, so that the aggregate points away from it.
    C. Xie, O. Koyejo, I. Gupta, "Fall of Empires: Breaking Byzantine-tolerant SGD by Inner Product Manipulation", UAI
    2019, section 4."""

    MIN_MAX = "min_max"
    """Move from the mean of the known changes against their standard deviation as far as no known change gets farther
    away than two known ones are apart. V. Shejwalkar, A. Houmansadr, "Manipulating the Byzantine: Optimizing Model
    Poisoning Attacks and Defenses for Federated Learning", NDSS 2021, section IV (agnostic, perturbation "inverse
    standard deviation"). The strength is not used."""

    MIN_SUM = "min_sum"
    """As min-max, and the sum of squared distances to all known changes stays at most the largest such sum of a known
    change. The same paper and section."""

    BACKDOOR = "backdoor"
    """Train on own data of which a part carries a trigger and the attacker's label. T. Gu, B. Dolan-Gavitt, S. Garg,
    "BadNets: Identifying Vulnerabilities in the Machine Learning Model Supply Chain", arXiv 1708.06733. The model stays
    as good as before on honest data, so that no voter can see it."""

    SCALING = "scaling"
    """Back door, and the change times the strength so that it outweighs the others: model replacement. E. Bagdasaryan,
    A. Veit, Y. Hua, D. Estrin, V. Shmatikov, "How To Backdoor Federated Learning", AISTATS 2020, section 4.2. A
    strength of 0 takes the number of proposers, which a plain mean would divide by."""

    FREE_ZERO = "free_zero"
    """Do not train: publish the model as it was received. Y. Fraboni, R. Vidal, M. Lorenzi, "Free-rider Attacks on
    Model Aggregation in Federated Learning", AISTATS 2021 (plain free-riding)."""

    FREE_STALE = "free_stale"
    """Do not train: publish how the model changed last. J. Lin, M. Du, J. Liu, "Free-riders in Federated Learning:
    Attacks and Defenses", arXiv 1911.12560 (delta weights)."""

    FREE_COPY = "free_copy"
    """Do not train: publish somebody else's update of this round, one unit in one weight away, since the ledger refuses
    a plain copy (F3)."""

    RATCHET = "ratchet"
    """Publish minus the honest change, as far as the model still passes the tolerance on the attacker's own data: a
    little worse every round. Section 2 of our protocol's description names it; F7 answers it."""

    SILENT = "silent"
    """Publish nothing, so that the others wait for the deadline."""


class BallotKind(StrEnum):
    """What a member does when it is drawn to vote."""

    HONEST = "honest"
    """Evaluate and say so."""

    INVERTED = "inverted"
    """Evaluate and say the opposite. N. Dong et al., "Defending Against Poisoning Attacks in Federated Learning with
    Blockchain", IEEE Transactions on Artificial Intelligence 2024 (arXiv 2307.00543)."""

    COLLUDING = "colluding"
    """Accept if and only if a friend's update is in the candidate, and flag everybody else's: the rational form of the
    paper's malicious voters."""

    LAZY = "lazy"
    """Accept whatever comes, without looking: what a voter does that saves the work."""

    COPIED = "copied"
    """Publish another voter's seal as one's own, and its opened ballot when it comes: a public audit of the one product
    built on the paper's mechanism found voters that copied. Seals are made so that it fails (F8)."""

    SILENT = "silent"
    """Seal nothing, so that the others wait for the deadline."""


DEFAULT_STRENGTHS: Final[Mapping[AttackKind, float]] = MappingProxyType(
    {
        AttackKind.SIGN_FLIP: 4.0,
        AttackKind.NOISE: 1.0,
        AttackKind.ALIE: 0.0,
        AttackKind.INNER_PRODUCT: 1.0,
        AttackKind.SCALING: 0.0,
    }
)
"""How strong an attack is unless somebody says otherwise; the others have no strength."""
