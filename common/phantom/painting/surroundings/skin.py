"""The outline of neck, jaw and shoulders, the skin, the fat below it, and the thin muscles that follow the skin."""

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

from common.phantom import tissues
from common.phantom.anatomy.person import Person
from common.phantom.painting.surroundings.coarse_grid import CoarseGrid
from common.phantom.painting.surroundings.head_frame import HeadFrame
from common.phantom.painting.surroundings.neck import Neck
from common.phantom.painting.surroundings.shapes import capsule, smooth_union
from common.phantom.painting.surroundings.texture import grain, smooth_field

ANGLES = (0, 15, 30, 45, 60, 75, 90, 105, 120, 135, 150, 165, 180)
"""Degrees from anterior to the side to posterior."""

OUTLINE = {
    # level: distance mm from the column's centre line to the skin of a thin adult, at ANGLES
    -4.0: (104, 100, 94, 92, 84, 78, 76, 76, 79, 84, 89, 92, 93),
    -1.0: (104, 98, 90, 83, 77, 74, 74, 75, 78, 80, 82, 83, 83),
    0.0: (104, 98, 90, 82, 76, 73, 73, 73, 74, 74, 75, 76, 76),
    1.0: (100, 94, 85, 76, 72, 68, 66, 65, 65, 66, 67, 67, 67),
    2.0: (94, 89, 80, 75, 68, 63, 60, 58, 58, 59, 61, 62, 61),
    3.0: (88, 84, 77, 69, 63, 58, 55, 54, 55, 57, 60, 62, 61),
    3.6: (72, 70, 66, 62, 59, 56, 54, 54, 55, 58, 61, 63, 62),
    4.2: (57, 58, 59, 58, 56, 54, 53, 53, 56, 59, 63, 65, 64),
    5.0: (49, 50, 53, 54, 54, 53, 53, 55, 58, 62, 66, 68, 67),
    6.0: (46, 48, 53, 56, 56, 56, 58, 61, 67, 72, 74, 74, 72),
    7.0: (50, 55, 60, 62, 62, 65, 71, 82, 88, 86, 83, 80, 78),
    8.0: (58, 64, 70, 74, 78, 90, 120, 138, 118, 101, 90, 83, 80),
    9.0: (72, 80, 88, 94, 108, 145, 185, 160, 128, 105, 94, 85, 82),
    10.0: (92, 95, 102, 116, 136, 180, 205, 175, 130, 107, 95, 87, 83),
    12.0: (104, 105, 112, 122, 145, 190, 215, 185, 138, 112, 98, 90, 86),
}
FAT = {-4.0: 0.5, 0.0: 0.8, 2.0: 1.0, 4.0: 0.9, 6.0: 1.0, 8.0: 1.3, 12.0: 1.4}
"""level: thickness of the subcutaneous fat relative to the neck's side."""


def depth_below_skin(neck: Neck, person: Person) -> tuple[np.ndarray, np.ndarray]:
    """Signed distance to the skin (nx, ny, nz) mm, negative inside, and the thickness (1, 1, nz) mm of the fat."""
    rng = person.stream("skin")
    u, v = neck.uv
    levels, table = np.array(list(OUTLINE)), np.array(list(OUTLINE.values()), float)
    full = np.radians(np.r_[ANGLES, 360 - np.array(ANGLES[-2:0:-1]), 360])
    ring = np.c_[table, table[:, -2:0:-1], table[:, :1]]
    fat = (2.0 + 11.0 * person.fatness) * np.interp(neck.levels, list(FAT), list(FAT.values()))
    ring = ring * (1 + 0.05 * rng.standard_normal() + 0.02 * person.asymmetry * np.cos(full - rng.uniform(0, 6.3)))
    ring[:, -1] = ring[:, 0]
    fine = np.linspace(0, 2 * np.pi, 361)
    ring = CubicSpline(full, ring, axis=1, bc_type="periodic")(fine)
    by_plane = PchipInterpolator(levels, ring, axis=0)(np.clip(neck.levels, levels[0], levels[-1]))
    posterior = 1 + 0.6 * (1 - np.cos(fine)) / 2
    by_plane = (by_plane - 4 + fat[:, None] * posterior).astype(np.float32)

    turn = np.arctan2(u, v) * np.float32(180 / np.pi)
    turn[turn < 0] += 360
    low = np.minimum(turn.astype(np.int32), 359)
    part = turn - low.astype(np.float32)
    low += (np.arange(len(neck.levels), dtype=np.int32) * 361)[None, None]
    flat = by_plane.ravel()
    radius = flat[low] * (1 - part) + flat[low + 1] * part
    gap = np.sqrt(u * u + v * v) - radius
    steps = [float(step) / neck.size for step in neck.coarse.step]
    slopes = [np.diff(gap, axis=k, append=gap.take([-1], axis=k)) / steps[k] for k in range(3)]
    steep = np.sqrt(slopes[0] ** 2 + slopes[1] ** 2 + slopes[2] ** 2)
    return gap / np.clip(steep, 1, 3) * np.float32(neck.size), fat.astype(np.float32)[None, None]


def _with_face(coarse: CoarseGrid, head: HeadFrame, skin: np.ndarray, person: Person) -> np.ndarray:
    """The skin over jaw, lips and cheeks, which turn with the head and stand out from the neck."""
    box = head.box(coarse, (-72, -5, -75), (72, 130, 90))
    if box is None:
        return skin
    x, y, z = head.points(coarse, box)
    cover = 9.0 + 5 * person.fatness
    mirrored = [np.abs(x), y, z]
    corner = (27, 70, -35)
    jaw = np.minimum(
        capsule(mirrored, (5, 89, -39), corner, 6.5 + cover, 6 + cover),
        capsule(mirrored, corner, (39, 30, -18), 6 + cover),
    )
    lips = capsule(mirrored, (9, 88, -14), (30, 64, 14), 15 + cover, 14 + cover)
    cheek = capsule(mirrored, (6, 88, 10), (42, 56, 34), 10 + cover, 6 + cover)
    jaw = smooth_union(jaw, smooth_union(lips, cheek, 10), 10)
    skin = skin.copy()
    skin[box] = smooth_union(skin[box], jaw * np.float32(head.size), 14)
    return skin


def paint_skin_and_fat(
    coarse: CoarseGrid, neck: Neck, head: HeadFrame, person: Person
) -> tuple[np.ndarray, np.ndarray]:
    """Skin line, fat with faint septa, platysma. Returns what `depth_below_skin` does, for those that follow."""
    rng = person.stream("fat")
    distance, fat = depth_below_skin(neck, person)
    distance = _with_face(coarse, head, distance, person)
    coarse.paint(coarse.whole, distance, 10.0, tissues.SKIN)
    web = np.abs(smooth_field(coarse.shape, 5.0 / coarse.step, rng))
    deep = np.clip((-fat - 4 - distance) / 6, 0, 1)
    strands = 40 * np.clip(0.16 - web, 0, 0.16) / 0.16 * (1 + 1.1 * deep)
    hu = -106 + 6 * grain(coarse.shape, rng) + strands
    coarse.paint(coarse.whole, distance + np.float32(1.8), hu, tissues.FAT)
    return distance, fat
