"""One vertebra on a scan's voxels, and what its neighbourhood is like: axes, places, noise."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

BONE_HU = 150.0
RIM_MM = 1.5
"""A mask's border may run within the cortex: bone this near to it belongs to the vertebra too."""


@dataclass(frozen=True, eq=False)
class Bone:
    """`ct` (X, Y, Z) float32 HU; `mask` (X, Y, Z) float32 0..1: the vertebra; `spacing` (3,) mm along the array's axes;
    `axes` (3, 3): orthonormal columns, the vertebra's right, anterior, superior in array axes; `level`: its name."""

    ct: np.ndarray
    mask: np.ndarray
    spacing: np.ndarray
    axes: np.ndarray
    level: str

    def with_ct(self, ct: np.ndarray) -> "Bone":
        return replace(self, ct=ct)

    def window(self, centre: np.ndarray, reach_mm: float) -> tuple[slice, ...]:
        """The voxels within `reach_mm` of the voxel index `centre` (3,), along each axis."""
        reach = np.ceil(reach_mm / self.spacing).astype(int)
        start, stop = np.maximum(centre - reach, 0), np.minimum(centre + reach + 1, self.ct.shape)
        return tuple(slice(int(a), int(b)) for a, b in zip(start, stop))

    def offsets(self, window: tuple[slice, ...], centre: np.ndarray) -> list[np.ndarray]:
        """mm from voxel index `centre` (3,) along each array axis: three arrays that broadcast."""
        lines = [
            (np.arange(s.start, s.stop, dtype=np.float32) - c) * np.float32(mm)
            for s, c, mm in zip(window, centre, self.spacing)
        ]
        return list(np.ix_(*lines))

    def extents(self) -> tuple[np.ndarray, np.ndarray]:
        """Voxel indices (n, 3) of some of the vertebra's voxels; where each lies along right, anterior, superior,
        -1..1 across the vertebra (its outermost hundredths left aside)."""
        step = max(round((self.mask.size / 400_000) ** (1 / 3)), 1)
        found = np.argwhere(self.mask[::step, ::step, ::step] > 0.5) * step
        place = (found * self.spacing) @ self.axes
        low, high = np.quantile(place, [0.01, 0.99], axis=0) if len(found) else (np.zeros(3), np.ones(3))
        return found, (place - (low + high) / 2) / np.maximum((high - low) / 2, 1e-6)


def with_rim(bone: Bone, window: tuple[slice, ...]) -> np.ndarray:
    """The vertebra within a window, (x, y, z) float32 0..1, with bright voxels of its rim that a mask leaves out."""
    mask, ct = bone.mask[window], bone.ct[window]
    size = 2 * np.round(RIM_MM / bone.spacing).astype(int) + 1
    near = ndimage.maximum_filter(mask, tuple(size))
    return np.maximum(mask, near * np.clip((ct - BONE_HU) / 150, 0, 1))


def noise_hu(ct: np.ndarray, mask: np.ndarray) -> float:
    """Standard deviation of the noise in soft tissue, from the differences of neighbours; the median, so that edges
    don't count."""
    flat = (mask[1:] == 0) & (ct[1:] > -150) & (ct[1:] < 200)
    steps = np.abs(ct[1:] - ct[:-1])[flat]
    return float(np.median(steps)) * 1.05 if len(steps) > 50 else 15.0


def smooth_field(shape: tuple[int, ...], spacing: np.ndarray, cell_mm: float, rng: np.random.Generator) -> np.ndarray:
    """(x, y, z) float32: a random field that varies over `cell_mm`, of standard deviation about 1 at its knots."""
    knots = [max(int(n * mm / cell_mm), 1) + 1 for n, mm in zip(shape, spacing)]
    return between_knots(rng.standard_normal(knots, dtype=np.float32), shape)


def between_knots(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(a, b, c) values at knots from one end of each axis to the other -> (x, y, z) float32 at `shape` points, linear
    between them."""
    hats = [_hats(points, knots) for points, knots in zip(shape, values.shape)]
    return np.einsum("xa,yb,zc,abc->xyz", *hats, values.astype(np.float32), optimize=True)


def _hats(points: int, knots: int) -> np.ndarray:
    """(points, knots) float32: how much each knot counts at each point."""
    away = np.linspace(0, knots - 1, points)[:, None] - np.arange(knots)
    return np.maximum(1 - np.abs(away), 0).astype(np.float32)


def fine_noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """(x, y, z) float32 noise of standard deviation 1, alike in neighbouring voxels."""
    noise = ndimage.uniform_filter(rng.standard_normal(shape, dtype=np.float32), 2)
    return noise * np.float32(np.sqrt(8))
