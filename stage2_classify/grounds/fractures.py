"""Synthetic fractures of real bone, drawn on a scan's own voxels: a rough surface, a gap along it, a moved fragment.

Type and place go together (SITES), by the regions of the AO Spine classification (Vaccaro et al. 2016). Where a type
has no direction of its own, the bone is crossed where it is thin.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from common.labels import LEVELS
from stage2_classify.grounds.bone import Bone, fine_noise, noise_hu, smooth_field, with_rim

BLOOD_HU = (-20.0, 120.0)
"""What fills a gap: blood and marrow."""
REACH_MM = 18.0
"""From a fracture's centre; further away the crack has closed and the fragment hasn't moved."""
WIDTH_MM = {"hairline": (0.5, 1.0), "gap": (1.0, 2.5), "displaced": (0.4, 2.0)}
SHIFT_MM = (1.2, 4.0)
TURN_DEG = (2.0, 8.0)
BLUR_MM = (0.15, 0.5)
"""Standard deviation of the edges' softness, before any scanner's."""
ROUGH_MM = (0.1, 1.2)


@dataclass(frozen=True)
class Site:
    """Where fractures of a type lie: levels; a box along right (of either side), anterior, superior, -1..1 across the
    vertebra; `normal` of the surface along these, None where the bone is crossed where it is thin."""

    levels: tuple[str, ...]
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    normal: tuple[float, float, float] | None = None


_LOWER = LEVELS[2:]
SITES: dict[str, Site] = {
    "anterior arch (Jefferson)": Site(("C1",), (0.0, 0.35, -1), (0.45, 1, 1), (1, 0.2, 0)),
    "posterior arch (Jefferson)": Site(("C1",), (0.05, -1, -1), (0.7, -0.2, 1)),
    "lateral mass": Site(("C1",), (0.3, -0.2, -1), (0.8, 0.6, 1)),
    "dens, tip (I)": Site(("C2",), (0.0, 0.2, 0.65), (0.3, 1, 1), (0.3, 0.3, 1)),
    "dens, base (II)": Site(("C2",), (0.0, 0.1, 0.0), (0.35, 1, 0.5), (0, 0.25, 1)),
    "dens into the body (III)": Site(("C2",), (0.0, 0.1, -0.6), (0.4, 1, 0.0), (0, 0.3, 1)),
    "pars (hangman's)": Site(("C2",), (0.15, -0.35, -0.6), (0.7, 0.25, 0.3), (0.2, 1, 0.3)),
    "body, lower front corner (teardrop)": Site(_LOWER, (0.0, 0.5, -1), (0.4, 1, -0.1), (0, 1, -0.9)),
    "body, across": Site(_LOWER, (0.0, 0.1, -0.8), (0.45, 1, 0.8), (0, 0.1, 1)),
    "body, split": Site(_LOWER, (0.0, 0.1, -0.8), (0.3, 1, 0.8), (1, 0.1, 0.1)),
    "facet": Site(LEVELS[1:], (0.35, -0.5, -1), (0.9, 0.05, 1)),
    "lamina": Site(LEVELS[1:], (0.05, -0.7, -1), (0.55, -0.2, 1)),
    "transverse process": Site(LEVELS, (0.6, -0.2, -1), (1, 0.7, 1)),
    "spinous process": Site(LEVELS[1:], (0.0, -1, -1), (0.3, -0.55, 1), (0, 1, 0.2)),
    "anywhere": Site(LEVELS, (0.0, -1, -1), (1, 1, 1)),
}


def break_bone(
    bone: Bone, kind: str, rng: np.random.Generator, site: str | None = None
) -> tuple[np.ndarray, np.ndarray] | None:
    """A vertebra broken once -> its CT (X, Y, Z) HU, and where (X, Y, Z) bool: the gap; None for an empty mask.

    `kind`: a key of WIDTH_MM. `site`: a key of SITES, by default any of the level, "anywhere" as often as all others
    together."""
    where = place(bone, SITES[_name(bone, rng) if site is None else site], rng)
    if where is None:
        return None
    centre, normal = where
    window = bone.window(centre, REACH_MM + 5)
    x, y, z = bone.offsets(window, centre)
    if normal is None:
        normal = _thin_direction(bone.mask[window] > 0.5, (x, y, z), bone.spacing, rng)
    ct, solid = bone.ct[window].copy(), with_rim(bone, window)
    noise = noise_hu(ct, solid)
    distance = np.sqrt(x * x + y * y + z * z)
    rough = rng.uniform(*ROUGH_MM) * smooth_field(ct.shape, bone.spacing, rng.uniform(2.5, 7), rng)
    side = x * normal[0] + y * normal[1] + z * normal[2] + rough

    opened = 0.0
    if kind == "displaced":
        if ((side > 0) * solid).sum() > ((side < 0) * solid).sum():
            normal, side = -normal, -side
        ct, solid, opened = _displace(ct, solid, side, distance, (x, y, z), normal, bone.spacing, rng, noise)
    depth = rng.uniform(0.4, 1) * REACH_MM - distance
    gap = _gap(side - opened / 2, np.exp(rng.uniform(*np.log(WIDTH_MM[kind]))) + opened, normal, bone.spacing)
    gap = gap * np.clip(depth, 0, 1) * solid
    soft = ndimage.gaussian_filter(gap, rng.uniform(*BLUR_MM) / bone.spacing, truncate=2.5)
    ct += soft * (blood(ct.shape, noise, rng) - ct)

    broken, opening = bone.ct.copy(), np.zeros(bone.ct.shape, bool)
    broken[window], opening[window] = ct, gap > 0.15
    return broken, opening


def _name(bone: Bone, rng: np.random.Generator) -> str:
    """A key of SITES for the vertebra's level."""
    names = [name for name, site in SITES.items() if bone.level in site.levels and name != "anywhere"]
    return "anywhere" if rng.random() < 0.5 or not names else names[rng.integers(len(names))]


def place(bone: Bone, site: Site, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Voxel index (3,) of some place at a site, and the normal (3,) there in array axes where the site has one; None
    for an empty mask."""
    voxels, places = bone.extents()
    if not len(voxels):
        return None
    mirrored = np.stack([np.abs(places[:, 0]), places[:, 1], places[:, 2]], axis=1)
    fits = ((mirrored >= site.low) & (mirrored <= site.high)).all(axis=1)
    chosen = np.flatnonzero(fits) if fits.sum() > 10 else np.arange(len(voxels))
    pick = chosen[rng.integers(len(chosen))]
    if site.normal is None:
        return voxels[pick], None
    along = np.array(site.normal) * [np.sign(places[pick, 0]) or 1, 1, 1] + rng.normal(0, 0.25, 3)
    return voxels[pick], bone.axes @ (along / np.linalg.norm(along))


def _thin_direction(
    solid: np.ndarray, offsets: tuple[np.ndarray, ...], spacing: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Of some random directions the one across which least bone lies near the centre; one time in four any."""
    directions = rng.normal(size=(1 if rng.random() < 0.25 else 12, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    x, y, z = (np.broadcast_to(o, solid.shape)[solid] for o in offsets)
    points = np.stack([x, y, z], axis=1)
    points = points[np.linalg.norm(points, axis=1) < 12]
    crossed = (np.abs(points @ directions.T) < spacing.max()).sum(axis=0)
    return directions[int(np.argmin(crossed))]


def _gap(side: np.ndarray, width: float, normal: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """mm from the gap's middle -> the part of each voxel that the gap fills."""
    voxel = float(np.linalg.norm(normal * spacing))
    return np.clip((width / 2 + voxel / 2 - np.abs(side)) / voxel, 0, min(width / voxel, 1)).astype(np.float32)


def _displace(
    ct: np.ndarray,
    solid: np.ndarray,
    side: np.ndarray,
    distance: np.ndarray,
    offsets: tuple[np.ndarray, ...],
    normal: np.ndarray,
    spacing: np.ndarray,
    rng: np.random.Generator,
    noise: float,
) -> tuple[np.ndarray, np.ndarray, float]:
    """The bone where `side` > 0 moved and turned as a whole, less and less so beyond REACH_MM -> CT, bone, and by how
    many mm the fracture has opened. What it leaves is filled with blood."""
    along = rng.normal(size=3) + 0.5 * normal
    shift = along / np.linalg.norm(along) * rng.uniform(*SHIFT_MM)
    turn = Rotation.from_rotvec(np.radians(rng.uniform(*TURN_DEG)) * _unit(rng)).inv().as_matrix() - np.eye(3)
    held = np.clip((REACH_MM + 3 - distance) / 6, 0, 1)
    moved_from = [o - s for o, s in zip(offsets, shift)]
    index = []
    for axis in range(3):
        back = sum(turn[axis, k] * moved_from[k] for k in range(3)) - shift[axis]
        grid = np.arange(ct.shape[axis]).reshape([-1 if k == axis else 1 for k in range(3)])
        index.append(grid + held * back / spacing[axis])
    fragment = np.clip(side / spacing.min() + 0.5, 0, 1) * solid
    picture, piece = (ndimage.map_coordinates(a, index, order=1, mode="nearest") for a in (ct, fragment))
    left = ct + fragment * (blood(ct.shape, noise, rng) - ct)
    return left + piece * (picture - left), np.maximum(solid - fragment, piece), max(float(normal @ shift), 0.0)


def _unit(rng: np.random.Generator) -> np.ndarray:
    vector = rng.normal(size=3)
    return vector / np.linalg.norm(vector)


def blood(shape: tuple[int, ...], noise: float, rng: np.random.Generator) -> np.ndarray:
    """(x, y, z) float32 HU of blood and marrow, with the scan's noise."""
    return np.float32(rng.uniform(*BLOOD_HU)) + np.float32(noise) * fine_noise(shape, rng)
