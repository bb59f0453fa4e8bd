"""How far each voxel of a fine grid lies from the surfaces of the bones, and which bone is nearest."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from common.phantom.bank.mesh.voxelise import Window, voxelise
from common.volume import Grid

REACH_MM = 3.0
"""Around a bone within which its distance is known."""
ROUNDED_MM = 0.45
"""Standard deviation of the Gaussian that takes the steps of voxels and the rest of facets' edges off a surface."""


@dataclass(eq=False)
class BoneField:
    """Arrays (X, Y, Z) on one grid: `nearest`, float16: signed distance, mm, negative inside, to the nearest surface;
    `second`: to the nearest one of another bone than that; both at most REACH_MM. `owner`: uint16 number of the nearest
    surface, counted from 1 in the order of laying, 0 where none is within REACH_MM. `windows`, `bones`: of each
    number, from 1."""

    grid: Grid
    nearest: np.ndarray
    second: np.ndarray
    owner: np.ndarray
    windows: list[Window]
    bones: list[str]

    @classmethod
    def empty(cls, grid: Grid) -> "BoneField":
        far = np.full(grid.shape, REACH_MM, np.float16)
        return cls(grid, far, far.copy(), np.zeros(grid.shape, np.uint16), [], [])

    def lay(self, bone: str, vertices: np.ndarray, faces: np.ndarray, quick: bool = False) -> int:
        """Adds a closed surface (vertices (N, 3) RAS mm, faces (M, 3)) that belongs to `bone`, as those of a skull's
        many parts do to one; `quick`: worked out on every other voxel. Returns its number; 0 where it lies outside of
        the grid."""
        found = (quick_distance if quick else fine_distance)(vertices, faces, self.grid)
        if found is None:
            return 0
        window, distance = found
        first, other, owner = self.nearest[window], self.second[window], self.owner[window]
        number = len(self.bones) + 1
        own = np.array([False, *(name == bone for name in self.bones)])[owner]
        nearer = distance < first
        beaten = np.where(nearer, first, distance)
        np.minimum(other, beaten, out=other, where=~own)
        owner[nearer] = number
        np.minimum(first, distance, out=first)
        self.windows.append(window)
        self.bones.append(bone)
        return number

    def depth(self, window: Window, gap_mm: float) -> np.ndarray:
        """Signed distance (float32) to the nearest bone's surface once a joint of at least `gap_mm` is cut between it
        and the next one: half of the joint from each, about the middle between both (or of what both claim)."""
        first, other = (array[window].astype(np.float32) for array in (self.nearest, self.second))
        return np.where(other < REACH_MM, np.maximum(first, (first - other + gap_mm) / 2), first)


def fine_distance(vertices: np.ndarray, faces: np.ndarray, grid: Grid) -> tuple[Window, np.ndarray] | None:
    """Signed distance (float16, mm, negative inside) to a closed surface in a window with REACH_MM to spare about it
    where the grid allows; None when all lies outside of the grid."""
    found = voxelise(vertices, faces, grid)
    if found is None or not found[1].any():
        return None
    spare = np.ceil(REACH_MM / grid.spacing).astype(int)
    low = [max(side.start - more, 0) for side, more in zip(found[0], spare)]
    high = [min(side.stop + more, n) for side, more, n in zip(found[0], spare, grid.shape)]
    mask = np.zeros(np.subtract(high, low), bool)
    mask[tuple(slice(side.start - a, side.stop - a) for side, a in zip(found[0], low))] = found[1]
    window = tuple(slice(a, b) for a, b in zip(low, high))
    return window, signed_distance(mask, float(grid.spacing[0])).astype(np.float16)


def quick_distance(vertices: np.ndarray, faces: np.ndarray, grid: Grid) -> tuple[Window, np.ndarray] | None:
    """`fine_distance` of every other voxel, linear between them."""
    affine = grid.affine.copy()
    affine[:3, :3] *= 2
    x, y, z = grid.shape
    found = fine_distance(vertices, faces, Grid((x // 2 + 1, y // 2 + 1, z // 2 + 1), affine))
    if found is None:
        return None
    window, distance = found
    for axis in range(3):
        distance = np.moveaxis(distance, axis, 0)
        finer = np.empty((2 * len(distance) - 1, *distance.shape[1:]), np.float16)
        finer[::2] = distance
        finer[1::2] = (distance[1:] + distance[:-1]) / 2
        distance = np.moveaxis(finer, 0, axis)
    start = [2 * side.start for side in window]
    stop = [min(a + n, most) for a, n, most in zip(start, distance.shape, grid.shape)]
    window = tuple(slice(a, b) for a, b in zip(start, stop))
    return window, distance[tuple(slice(0, b - a) for a, b in zip(start, stop))]


def signed_distance(mask: np.ndarray, spacing: float) -> np.ndarray:
    """mm from the surface of a bool array (X, Y, Z) of cubic voxels, negative inside, float32, smoothed."""
    rim = mask & ~ndimage.binary_erosion(mask, border_value=1)
    nearest = ndimage.distance_transform_edt(~rim, return_distances=False, return_indices=True)
    square = np.zeros(mask.shape, np.float32)
    for axis, place in enumerate(np.ogrid[tuple(slice(0, n) for n in mask.shape)]):
        away = (nearest[axis] - place).astype(np.float32)
        away *= away
        square += away
    away = np.sqrt(square, out=square)
    away[mask] *= -1
    away -= 0.5
    return ndimage.gaussian_filter(away, ROUNDED_MM / spacing, truncate=3) * np.float32(spacing)
