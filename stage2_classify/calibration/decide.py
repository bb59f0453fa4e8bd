"""From the logits of a study's networks to its answer: their mean, calibrated; the prior without a level in view."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from common.labels import LEVELS
from stage2_classify.calibration.calibration import Calibration


@dataclass(frozen=True, eq=False)
class Decided:
    """Of one study, in the order of labels.TARGETS: `answer` (8,), what the score rewards; `calibrated` (8,), how
    likely each fracture is (None without a fitted calibration); `network` (8,), the mean logits' sigmoid."""

    answer: np.ndarray
    calibrated: np.ndarray | None
    network: np.ndarray


def decide(logits: np.ndarray, present: np.ndarray, prior: np.ndarray, calibration: Calibration | None) -> Decided:
    """logits (M, 8) of M networks for one study, present (7,) bool, prior (8,): the best constant answer.

    The mean of the networks' logits, read by the `calibration`; without one, their sigmoid. A level that isn't in view
    is answered from what the calibration knows of the others, or by its prior without one; so is everything when no
    level is in view. The patient's answer is never below that of a level in view.
    """
    prior = np.asarray(prior, dtype=np.float64)
    mean = np.mean(logits, axis=0)
    if not present.any():
        return Decided(prior.copy(), None if calibration is None else calibration.base_rates, prior.copy())
    n = len(LEVELS)
    network = special.expit(mean)
    network[:n] = np.where(present, network[:n], prior[:n])
    network[n] = max(network[n], network[:n][present].max())
    if calibration is None:
        return Decided(network, None, network)
    answer, calibrated = calibration(mean[None], present[None])
    return Decided(answer[0], calibrated[0], network)
