"""The texture of marrow: smooth noise at several scales that repeats without a seam."""

import numpy as np
from scipy import ndimage

TILE_MM = 48.0
STEP_MM = 0.75
"""Period and step of the marrow's texture."""


def make_marrow(rng: np.random.Generator) -> np.ndarray:
    """(N, N, N) float32, mean 0, SD about 1; repeats seamlessly every TILE_MM in the world's axes."""
    count = int(TILE_MM / STEP_MM)
    total = np.zeros((count,) * 3, np.float32)
    for scale_mm, weight in ((0.6, 0.75), (1.4, 0.55), (4.5, 0.65)):
        layer = ndimage.gaussian_filter(
            rng.standard_normal((count,) * 3, dtype=np.float32), scale_mm / STEP_MM, mode="wrap", truncate=3
        )
        total += weight * layer / layer.std()
    return total / total.std()


def marrow_at(marrow: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Texture at world points (N, 3) -> (N,), linear between the nearest samples."""
    index = (points.T / STEP_MM).astype(np.float32)
    return ndimage.map_coordinates(marrow, index, order=1, mode="grid-wrap", prefilter=False)
