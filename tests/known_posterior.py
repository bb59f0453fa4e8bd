"""Predictions whose true posterior is known: patterns from a prior, normal evidence of levels and patient."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from stage2_classify.calibration.fracture_patterns import LEVEL_BITS, TARGET_BITS, marginals
from stage2_classify.calibration.label_prior import USUAL, prior_of


@dataclass(frozen=True, eq=False)
class Known:
    """`logits`, `labels` (N, 8), and the true `posterior` (N, 128)."""

    logits: np.ndarray
    labels: np.ndarray
    posterior: np.ndarray


def simulate(kind: str, studies: int, seed: int) -> Known:
    """Bayes' rule over the patterns. `kind` evidence: logits of levels judged each alone; marginals: of each target
    given everything. Both are then made overconfident (slopes 1.7 and 1.4) and shifted, each level by its own."""
    rng = np.random.default_rng(seed)
    prior = prior_of(USUAL)
    labels = TARGET_BITS[rng.choice(128, studies, p=prior)]
    apart = np.append(rng.uniform(1.2, 2.0, 7), 1.2)
    ratio = apart * (apart * (labels - 0.5) + rng.normal(size=labels.shape))
    posterior = special.softmax(np.log(prior) + ratio[:, :7] @ LEVEL_BITS.T + ratio[:, 7:] * TARGET_BITS[:, 7], axis=1)
    clean = special.logit(marginals(posterior) if kind == "marginals" else marginals(prior[None]))
    clean = clean + (0 if kind == "marginals" else ratio)
    slope, offset = np.array([1.7] * 7 + [1.4]), np.append(0.5 + rng.normal(0, 0.3, 7), 0.4)
    return Known(clean * slope + offset, labels, posterior)
