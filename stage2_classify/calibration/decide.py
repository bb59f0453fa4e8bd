"""From logits to answers: an ensemble's mean, the posterior fitted on out-of-fold predictions, coherence."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from stage2_classify.calibration.fracture_patterns import marginals
from stage2_classify.calibration.label_prior import prior_of
from stage2_classify.calibration.optimal_answer import best_answer
from stage2_classify.calibration.posterior import Posterior


@dataclass(frozen=True, eq=False)
class Decided:
    """Of one study, in the order of labels.TARGETS: `answer` (8,), what the score rewards; `calibrated` (8,), how
    likely each fracture is (None without a fitted posterior); `network` (8,), the mean logits' sigmoid."""

    answer: np.ndarray
    calibrated: np.ndarray | None
    network: np.ndarray


def decide(logits: np.ndarray, present: np.ndarray, prior: np.ndarray, posterior: Posterior | None) -> Decided:
    """logits (M, 8) of M networks for one study, present (7,) bool, prior (8,): the best constant answer.

    The mean of the networks' logits, read by the `posterior`; without one, their sigmoid. A level that isn't in view
    is answered from what the posterior knows of the others, or by its prior without one; so is everything when no
    level is in view. The patient's answer is never below that of a level in view.
    """
    prior = np.asarray(prior, dtype=np.float64)
    mean = np.mean(logits, axis=0)
    if not present.any():
        usual = None if posterior is None else marginals(prior_of(posterior.prior)[None])[0]
        return Decided(prior.copy(), usual, prior.copy())
    network = special.expit(mean)
    network[:7] = np.where(present, network[:7], prior[:7])
    network[7] = max(network[7], network[:7][present].max())
    if posterior is None:
        return Decided(network, None, network)
    patterns = posterior(mean[None], present[None])
    return Decided(best_answer(patterns)[0], marginals(patterns)[0], network)
