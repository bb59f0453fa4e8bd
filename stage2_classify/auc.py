"""Area under the ROC curve, for many samples at once."""

import numpy as np
from scipy.stats import rankdata


def aucs(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """p and y 0/1 (..., N) -> (...): the chance that a positive has the higher p, ties counting half (Mann & Whitney
    1947: the area under the ROC curve); NaN where only one class is there."""
    positives = y.sum(axis=-1)
    negatives = y.shape[-1] - positives
    above = (rankdata(p, axis=-1) * y).sum(axis=-1) - positives * (positives + 1) / 2
    pairs = (positives * negatives).astype(float)
    return np.divide(above, pairs, out=np.full(np.shape(pairs), np.nan), where=pairs > 0)
