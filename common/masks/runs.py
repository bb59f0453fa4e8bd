"""Runs of equal values in a mask, a hundred times fewer than its voxels."""

import numpy as np


def runs_of(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int, int]]:
    """The runs of each value but 0 along the last axis of mask (X, Y, Z): their first places, the places after their
    last ones, and their values, (N,) each, one after the other; and the shape (X, Y + 1, Z + 1) in which places are
    counted, with room behind each line and each plane, so that no run goes on in the next."""
    x, y, z = mask.shape
    roomy = np.zeros((x, y + 1, z + 1), mask.dtype)
    roomy[:, :-1, :-1] = mask
    flat = roomy.ravel()
    borders = np.append(np.flatnonzero(flat[:1]), np.flatnonzero(flat[1:] != flat[:-1]) + 1)
    values = flat[borders]
    runs = np.flatnonzero(values)
    return borders[runs], borders[runs + 1], values[runs], roomy.shape
