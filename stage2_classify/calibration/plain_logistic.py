"""The usual recalibration, to compare with: a logistic regression of each target on its own logit."""

import numpy as np
from sklearn.linear_model import LogisticRegression


def cross_fitted_logistic(logits: np.ndarray, labels: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """logits, labels (N, 8), fold (N,) -> probabilities (N, 8), each from a fit to the other folds."""
    p = np.empty(logits.shape)
    for held_out in np.unique(fold):
        kept, left = fold != held_out, fold == held_out
        for target in range(logits.shape[1]):
            p[left, target] = _fit(logits[kept, target], labels[kept, target], logits[left, target])
    return p


def _fit(logits: np.ndarray, labels: np.ndarray, new: np.ndarray) -> np.ndarray:
    if labels.min() == labels.max():
        return np.full(new.shape, (labels.sum() + 0.5) / (len(labels) + 1))
    middle, width = logits.mean(), logits.std() + 1e-9
    fit = LogisticRegression(C=1e4, max_iter=1000).fit((logits - middle)[:, None] / width, labels)
    return fit.predict_proba((new - middle)[:, None] / width)[:, 1]
