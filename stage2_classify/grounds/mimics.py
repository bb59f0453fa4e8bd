"""What resembles a fracture in healthy bone, or troubles the picture of it: drawn into fractured and healthy alike."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from stage2_classify.grounds.bone import Bone, smooth_field
from stage2_classify.grounds.clefts import CLEFT_MIMICS

Mimic = Callable[[Bone, np.random.Generator], np.ndarray]


def vessel(bone: Bone, rng: np.random.Generator) -> np.ndarray:
    """A nutrient canal, such as the basivertebral vein's: a thin dark tube with a fine wall, running into the bone."""
    at = _anywhere(bone, rng)
    window = bone.window(at, 12)
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    bend = rng.normal(size=3) * 0.04
    offsets = bone.offsets(window, at)
    along = sum(o * d for o, d in zip(offsets, direction))
    off_axis = sum((o - along * d - along * along * b) ** 2 for o, d, b in zip(offsets, direction, bend))
    radius, edge = rng.uniform(0.3, 1.1), float(bone.spacing.mean())
    inside = np.clip((radius - np.sqrt(off_axis)) / edge + 0.5, 0, 1) * (np.abs(along) < rng.uniform(4, 11))
    wall = np.clip(1 - np.abs(np.sqrt(off_axis) - radius - 0.6) / 0.6, 0, 1) * (np.abs(along) < 10)
    ct = bone.ct.copy()
    solid = bone.mask[window]
    ct[window] += solid * wall * rng.uniform(0, 250)
    ct[window] += solid * inside * (rng.uniform(-30, 150) - ct[window])
    return ct


def cyst(bone: Bone, rng: np.random.Generator) -> np.ndarray:
    """A round hole or an island of dense bone."""
    at = _anywhere(bone, rng)
    window = bone.window(at, 8)
    x, y, z = (o / s for o, s in zip(bone.offsets(window, at), rng.uniform(0.7, 1.5, 3)))
    inside = np.clip((rng.uniform(1, 3) - np.sqrt(x * x + y * y + z * z)) / 0.7, 0, 1) * bone.mask[window]
    ct = bone.ct.copy()
    ct[window] += inside * (rng.choice([rng.uniform(-50, 150), rng.uniform(700, 1200)]) - ct[window])
    return ct


def thin_marrow(bone: Bone, rng: np.random.Generator) -> np.ndarray:
    """Patchy osteoporosis: marrow lighter in one place than in another."""
    field = smooth_field(bone.ct.shape, bone.spacing, rng.uniform(4, 15), rng)
    inner = bone.mask * np.clip((700 - bone.ct) / 300, 0, 1)
    return bone.ct + inner * np.float32(rng.uniform(30, 150)) * field


def osteophyte(bone: Bone, rng: np.random.Generator) -> np.ndarray:
    """A lump of bone on the surface, its border with the vertebra sometimes seen."""
    surface = np.argwhere((bone.mask > 0.5) & (ndimage.minimum_filter(bone.mask, 3) < 0.5))
    if not len(surface):
        return bone.ct
    at = surface[rng.integers(len(surface))]
    window = bone.window(at, 9)
    x, y, z = (o / s for o, s in zip(bone.offsets(window, at), rng.uniform(0.7, 2, 3)))
    lump = np.clip((rng.uniform(1.5, 3) - np.sqrt(x * x + y * y + z * z)) / 0.8, 0, 1)
    ct = bone.ct.copy()
    part = lump * (1 - bone.mask[window]) * (ct[window] > -200)
    ct[window] += part * (rng.uniform(250, 900) - ct[window])
    return ct


def streaks(bone: Bone, rng: np.random.Generator) -> np.ndarray:
    """Bright and dark lines across a few slices, as from metal or the shoulders."""
    x, y, z = np.meshgrid(
        *(np.arange(n) * mm for n, mm in zip(bone.ct.shape, bone.spacing)), indexing="ij", sparse=True
    )
    angle, where = rng.uniform(0, np.pi), rng.uniform(0.2, 0.8) * bone.ct.shape[2] * bone.spacing[2]
    across = x * np.cos(angle) + y * np.sin(angle)
    waves = np.sin(across * rng.uniform(0.5, 3) + rng.uniform(0, 6)) * np.sin(across * rng.uniform(0.1, 0.5))
    slab = np.exp(-(((z - where) / rng.uniform(1, 6)) ** 2))
    return bone.ct + np.float32(rng.uniform(20, 120)) * (waves * slab).astype(np.float32)


def motion(bone: Bone, rng: np.random.Generator) -> np.ndarray:
    """The patient swallowed or moved: from some slice on everything is shifted in the plane, for a while or for good,
    at times blended with where it was before."""
    axis = int(np.argmax(np.abs(bone.axes[:, 2])))
    start = rng.integers(0, bone.ct.shape[axis])
    stop = min(start + int(rng.uniform(1, 15) / bone.spacing[axis]) + 1, bone.ct.shape[axis])
    shift = rng.normal(0, 0.6, 3) / bone.spacing
    shift[axis] = 0
    slab = tuple(slice(start, stop) if k == axis else slice(None) for k in range(3))
    ct = bone.ct.copy()
    moved = ndimage.shift(ct[slab], shift, order=1, mode="nearest")
    ct[slab] += np.float32(rng.uniform(0.4, 1)) * (moved - ct[slab])
    return ct


def disc_gas(bone: Bone, rng: np.random.Generator) -> np.ndarray:
    """A thin dark sheet just above or below the vertebra, as gas in a disc or a joint makes it."""
    outside = (bone.mask < 0.5) & (bone.ct > -200) & (bone.ct < 300)
    near = outside & (ndimage.maximum_filter(bone.mask, tuple(2 * np.ceil(2.5 / bone.spacing).astype(int) + 1)) > 0.5)
    places = np.argwhere(near)
    if not len(places):
        return bone.ct
    at = places[rng.integers(len(places))]
    window = bone.window(at, 9)
    x, y, z = bone.offsets(window, at)
    up = sum(o * n for o, n in zip((x, y, z), bone.axes[:, 2]))
    sheet = np.clip(1 - np.abs(up) / rng.uniform(0.5, 1.5), 0, 1) * (x * x + y * y + z * z < rng.uniform(3, 8) ** 2)
    ct = bone.ct.copy()
    ct[window] += sheet * near[window] * (rng.uniform(-600, -50) - ct[window])
    return ct


MIMICS: dict[str, tuple[Mimic, float]] = {
    "vessel": (vessel, 0.5),
    "cyst": (cyst, 0.15),
    "thin marrow": (thin_marrow, 0.4),
    "osteophyte": (osteophyte, 0.25),
    "streaks": (streaks, 0.2),
    "motion": (motion, 0.25),
    "disc gas": (disc_gas, 0.15),
    **CLEFT_MIMICS,
}
"""Name -> how it is drawn, and the chance that it is."""


def add_mimics(bone: Bone, rng: np.random.Generator) -> Bone:
    """The vertebra with whichever mimics come by their chances."""
    for draw, chance in MIMICS.values():
        if rng.random() < chance and (bone.mask > 0.5).any():
            bone = bone.with_ct(draw(bone, rng).astype(np.float32, copy=False))
    return bone


def _anywhere(bone: Bone, rng: np.random.Generator) -> np.ndarray:
    voxels, _ = bone.extents()
    return voxels[rng.integers(len(voxels))]
