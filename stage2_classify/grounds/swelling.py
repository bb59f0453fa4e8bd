"""Blood in the soft tissue beside a fracture: fat planes filled with it; in front of the spine what lies between the
bone and the airway thickened, so that the airway stands further forward. Bone stays as it is.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from stage2_classify.grounds.bone import BONE_HU, Bone, smooth_field

BLOOD_HU = (40.0, 70.0)
REACH_MM = (4.0, 12.0)
"""From the fracture; half as far all fat is blood, then less and less of it."""
PUSHED_MM = (2.0, 8.0)
"""How far the airway's back wall is pushed forward."""
CLOSES_MM = (10.0, 18.0)
"""In front of that wall tissue is pushed less and less, and no longer so far from it."""
BRUISE = (0.3, 0.6)
"""Of these sizes, what a bruise without a fracture has."""
BRUISED = 1 / 3
"""How often healthy vertebrae have one, against broken ones that are swollen."""
FAT_HU = (-40.0, 0.0)
"""All fat up to the first, none from the second on."""
AIR_HU = -300.0
SMOOTH_MM = 0.7
FRONT_MM = 10.0
"""What is broken so near to the vertebra's front bleeds in front of it."""
WALL_MM = (2.0, 15.0)
"""From the front of the bone to the airway; where none is seen, the tissue that is pushed is taken for `NO_WALL_MM`."""
NO_WALL_MM = 8.0
LATTICE_MM = 1.0


@dataclass(frozen=True, eq=False)
class _Push:
    """Of every voxel of a window: mm `forward` from where its tissue came, and which part of it is `new`, blood."""

    window: tuple[slice, ...]
    forward: np.ndarray
    new: np.ndarray


def swell(bone: Bone, where: np.ndarray, rng: np.random.Generator, size: float = 1.0) -> np.ndarray:
    """A vertebra and what is broken of it, `where` (X, Y, Z) bool -> its CT (X, Y, Z) HU with blood about that. `size`:
    part of REACH_MM and PUSHED_MM."""
    if not where.any():
        return bone.ct
    reach, hu = size * rng.uniform(*REACH_MM), np.float32(rng.uniform(*BLOOD_HU))
    still = _bone(bone)
    ct, new = bone.ct, np.zeros(bone.ct.shape, np.float32)
    push = _push(bone, where, size * rng.uniform(*PUSHED_MM), rng.uniform(*CLOSES_MM))
    if push is not None:
        ct = ct.copy()
        of_soft = np.where(still, _soft_mean(ct, bone.spacing)[0], ct)
        ct[push.window] = np.where(still[push.window], ct[push.window], _moved(of_soft, bone, push))
        new[push.window] = push.new
    near = _near(where, bone.spacing, reach, rng)
    mean, soft = _soft_mean(ct, bone.spacing)
    fat = np.clip((FAT_HU[1] - mean) / (FAT_HU[1] - FAT_HU[0]), 0, 1)
    filled = np.maximum(near * fat, new) * (soft & ~still)
    return ct + filled * (hu - mean)  # noise and texture stay


def bruise(bone: Bone, rng: np.random.Generator) -> np.ndarray:
    """A healthy vertebra -> its CT (X, Y, Z) HU with a little blood at some place of its surface."""
    inside = bone.mask > 0.5
    surface = np.argwhere(inside & ~ndimage.binary_erosion(inside))
    where = np.zeros(bone.ct.shape, bool)
    if len(surface):
        where[tuple(surface[rng.integers(len(surface))])] = True
    return swell(bone, where, rng, rng.uniform(*BRUISE))


def _bone(bone: Bone) -> np.ndarray:
    """(X, Y, Z) bool: the vertebra, other bone, and marrow that bone encloses."""
    parts, _ = ndimage.label(bone.ct <= BONE_HU)
    outside = np.argmax(np.bincount(parts.ravel())[1:]) + 1 if parts.any() else 0
    return (bone.mask > 0.5) | (parts != outside)


def _near(where: np.ndarray, spacing: np.ndarray, reach: float, rng: np.random.Generator) -> np.ndarray:
    """(X, Y, Z) float32: 1 within half of the reach, falling to 0 at the reach, which is uneven by a fifth."""
    step = np.maximum(np.round(LATTICE_MM / spacing).astype(int), 1)
    coarse = ndimage.maximum_filter(where, tuple(step))[tuple(slice(None, None, s) for s in step)]
    mm = ndimage.distance_transform_edt(~coarse, sampling=spacing * step).astype(np.float32)
    mm *= 1 + np.clip(0.1 * smooth_field(mm.shape, spacing * step, 6, rng), -0.2, 0.2)
    mm = ndimage.affine_transform(mm, 1 / step, output_shape=where.shape, order=1, mode="nearest")
    return np.clip(2 - 2 * mm / np.float32(reach), 0, 1)


def _soft_mean(ct: np.ndarray, spacing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The local mean of soft tissue, (X, Y, Z) float32 HU, and where there is some, (X, Y, Z) bool: not at the airway's
    wall, whose voxels are air in part."""
    soft = (ct < BONE_HU) & (ct > AIR_HU)
    weight = soft.astype(np.float32)
    mean, part = (ndimage.gaussian_filter(a, SMOOTH_MM / spacing, truncate=2) for a in (ct * weight, weight))
    return mean / np.maximum(part, 1e-3), soft & (ndimage.minimum_filter(ct, 3) > AIR_HU)


def _push(bone: Bone, where: np.ndarray, pushed: float, closes: float) -> _Push | None:
    """How the tissue in front moves; None where the fracture doesn't lie at the vertebra's front, or all of that is
    out of the picture."""
    middle, front, height = _front(bone)
    right, ahead, up = (line - m for line, m in zip(_along(bone, np.argwhere(where)).T, middle))
    bleeds = (ahead > front - FRONT_MM) & (np.abs(right) < FRONT_MM)
    if not bleeds.any():
        return None
    lines = np.ix_(*(np.arange(n, dtype=np.float32) * np.float32(mm) for n, mm in zip(bone.ct.shape, bone.spacing)))
    right, ahead, above = (
        sum(line * a for line, a in zip(lines, bone.axes[:, k].astype(np.float32))) - np.float32(middle[k])
        for k in range(3)
    )
    ahead = ahead - _surface(bone, right, ahead, above, front)
    above = above - np.float32(np.median(up[bleeds]))
    seen = (bone.ct < AIR_HU) & (ahead > 0) & (ahead < 25) & (np.abs(right) < 5) & (np.abs(above) < 5)
    wall = np.float32(np.clip(np.quantile(ahead[seen], 0.05), *WALL_MM) if seen.any() else NO_WALL_MM)
    by = pushed * np.exp(-((above / (0.7 * height + 4)) ** 2)) * np.clip((14 - np.abs(right)) / 6, 0, 1)
    beyond = np.clip(1 - (ahead - wall - by) / closes, 0, 1)
    forward = by * np.where(ahead < wall + by, np.clip(ahead / (wall + by), 0, 1), beyond)
    places = np.nonzero(forward > 0.05)
    if not len(places[0]):
        return None
    window = tuple(slice(int(i.min()), int(i.max()) + 1) for i in places)
    new = by / (wall + by) * np.clip(ahead, 0, 1) * np.clip((wall + by - ahead) / 2, 0, 1) * (by > 0.05)
    return _Push(window, forward[window], new[window].astype(np.float32))


def _along(bone: Bone, voxels: np.ndarray) -> np.ndarray:
    """Voxel indices (n, 3) -> mm (n, 3) along the vertebra's right, anterior, superior."""
    return (voxels * bone.spacing) @ bone.axes


def _front(bone: Bone) -> tuple[np.ndarray, float, float]:
    """The vertebra's middle (3,), mm along its axes; how far before it its front lies; the height of its front part."""
    along = _along(bone, bone.extents()[0])
    low, high = np.quantile(along, [0.01, 0.99], axis=0)
    middle = (low + high) / 2
    before = along[along[:, 1] > high[1] - FRONT_MM]
    return middle, float(high[1] - middle[1]), float(np.ptp(np.quantile(before[:, 2], [0.05, 0.95])))


def _surface(bone: Bone, right: np.ndarray, ahead: np.ndarray, up: np.ndarray, front: float) -> np.ndarray:
    """How far ahead the spine's front lies at each voxel, (X, Y, Z) float32 mm: of this vertebra and its neighbours,
    even across discs."""
    spine = (bone.ct > BONE_HU) & (np.abs(right) < 16) & (ahead > front - 8) & (ahead < front + 4)
    low = np.array([-16.0, float(up.min())])
    shape = (33, int(np.ptp(up)) + 2)
    known = np.full(shape, front - 8, np.float32)
    cell = [np.round(values[spine] - start).astype(int) for values, start in zip((right, up), low)]
    np.maximum.at(known, tuple(cell), ahead[spine])
    known = ndimage.gaussian_filter(ndimage.maximum_filter(known, (3, 9)), 2.0, mode="nearest")
    index = [np.broadcast_to(values - start, bone.ct.shape) for values, start in zip((right, up), low)]
    return ndimage.map_coordinates(known, index, order=1, mode="nearest")


def _moved(ct: np.ndarray, bone: Bone, push: _Push) -> np.ndarray:
    """The window of a CT (X, Y, Z) HU after the push."""
    index = [
        grid + side.start - push.forward * np.float32(bone.axes[k, 1] / bone.spacing[k])
        for k, (grid, side) in enumerate(zip(np.indices(push.forward.shape, dtype=np.float32), push.window))
    ]
    return ndimage.map_coordinates(ct, index, order=1, mode="nearest")
