"""What is answered for a level whose vertebra isn't certain: the mixture over those that it may be."""

from dataclasses import replace

import numpy as np

from common.labels import LEVELS
from common.masks.alternatives import Alternatives, chances
from stage2_classify.calibration.decide import Decided

N = len(LEVELS)


def mixed(decided: Decided, nothing: Decided, judged: np.ndarray, alternatives: Alternatives) -> Decided:
    """P(L is fractured) = sum over what the mask names k of P(k is L) P(k is fractured), and for the rest, where none
    of them is L, the answer about a level that isn't seen.

    `decided`: of what the mask names; `nothing`: the same without a level in view; judged (7,) bool: levels that were
    looked at. The patient's answer stays, or rises to that of a level that was looked at; without `alternatives` all
    stays."""
    if not alternatives or not judged.any():
        return decided
    among = chances(alternatives, judged)  # what wasn't looked at tells nothing of what it may be
    if np.array_equal(among, np.diag(judged.astype(float))):
        return decided
    calibrated = None
    if decided.calibrated is not None and nothing.calibrated is not None:
        calibrated = _mix(decided.calibrated, nothing.calibrated, judged, among)
    answer = _mix(decided.answer, nothing.answer, judged, among)
    return replace(decided, answer=answer, calibrated=calibrated)


def _mix(given: np.ndarray, nothing: np.ndarray, judged: np.ndarray, among: np.ndarray) -> np.ndarray:
    """(8,) of given (8,); among (7, 7): what is named is what."""
    rest = np.where(judged, nothing[:N], given[:N])  # of a level that wasn't looked at the others already tell
    levels = given[:N] @ among + (1 - among.sum(axis=0)) * rest
    return np.append(levels, max(given[N], levels[judged].max()))
