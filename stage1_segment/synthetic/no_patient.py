"""Scans of no patient at all."""

import numpy as np

from stage1_segment.synthetic.artefacts import AIR_HU


def without_patient(window: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """HU (X, Y, Z) float32 of air, noise, or a block of one density, such as a phantom, with up to three rods in it
    that may be as dense as bone."""
    hu = np.full(window, AIR_HU, np.float32)
    if rng.random() < 0.7:
        low, high = np.sort(rng.uniform(0, 1, (2, 3)), axis=0) * window
        hu[tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high))] = rng.uniform(-200, 800)
        for _ in range(rng.integers(4)):
            hu[rod(window, low, high, rng)] = rng.uniform(0, 1500)
    if rng.random() < 0.7:
        hu += rng.normal(0, np.exp(rng.uniform(2, 7)), window).astype(np.float32)
    return hu.clip(-1024, 3071)


def rod(window: tuple[int, int, int], low: np.ndarray, high: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(X, Y, Z) bool: a round or square rod across the block from `low` to `high` (3,) voxels, upright in half of
    the cases."""
    axis = 2 if rng.random() < 0.5 else int(rng.integers(2))
    points = np.stack(np.meshgrid(*map(np.arange, window), indexing="ij"), axis=-1)
    away = (points - rng.uniform(low, high)) / rng.uniform(2, 12, 3)
    away[..., axis] = 0
    across = (away**2).sum(axis=-1) < 1 if rng.random() < 0.5 else (np.abs(away) < 1).all(axis=-1)
    return across & (points >= low).all(axis=-1) & (points <= high).all(axis=-1)
