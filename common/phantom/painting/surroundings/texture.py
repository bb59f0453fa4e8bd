"""Smooth and grainy random fields that make tissue uneven."""

import numpy as np


def smooth_field(shape: tuple[int, ...], steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random field (shape) float32 of about unit variance that changes over `steps` (3,) blocks along each axis:
    white noise on knots, joined by quadratic B-splines."""
    weights = []
    for n, step in zip(shape, steps):
        knots = int(np.ceil(n / step)) + 3
        at = np.arange(n)[:, None] / step + 1 - np.arange(knots)[None]
        far = np.abs(at)
        weights.append(
            np.where(far < 0.5, 0.75 - far**2, np.where(far < 1.5, 0.5 * (1.5 - far) ** 2, 0)).astype(np.float32)
        )
    field = rng.standard_normal([w.shape[1] for w in weights], dtype=np.float32)
    for axis in (2, 1, 0):
        field = np.moveaxis(np.tensordot(weights[axis], field, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(field) * np.float32(1.9)


def grain(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """White noise (shape) float32, a little stretched along z as muscle fibres and septa are."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    noise[:, :, 1:] += noise[:, :, :-1]
    return noise * np.float32(0.71)
