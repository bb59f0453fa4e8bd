"""Runs of equal values in a mask, a hundred times fewer than its voxels."""

import numpy as np

SLAB = 2**18
"""Voxels copied at a time: a copy of a whole body's mask may be several times as large as the scan."""


def runs_of(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int, int]]:
    """The runs of each value but 0 along the last axis of mask (X, Y, Z): their first places, the places after their
    last ones, and their values, (N,) each, one after the other; and the shape (X, Y + 1, Z + 1) in which places are
    counted, with room behind each line and each plane, so that no run goes on in the next."""
    x, y, z = mask.shape
    plane = (y + 1) * (z + 1)
    thick = max(SLAB // plane, 1)
    roomy = np.zeros((min(thick, x), y + 1, z + 1), mask.dtype)
    found = []
    for first in range(0, max(x, 1), thick):
        part = mask[first : first + thick]
        roomy[: len(part), :-1, :-1] = part
        flat = roomy[: len(part)].ravel()
        borders = np.append(np.flatnonzero(flat[:1]), np.flatnonzero(flat[1:] != flat[:-1]) + 1)
        values = flat[borders]
        runs = np.flatnonzero(values)
        found.append((borders[runs] + first * plane, borders[runs + 1] + first * plane, values[runs]))
    starts, stops, values = (np.concatenate(parts) for parts in zip(*found))
    return starts, stops, values, (x, y + 1, z + 1)
