"""The vertebrae, discs and ligaments of a column on the scanner's grid."""

import numpy as np

from common.phantom import tissues
from common.phantom.anatomy.alignment import disc_height
from common.phantom.anatomy.column import Bone, Column, PosedBone
from common.phantom.anatomy.dimensions import COLUMN_LEVELS
from common.phantom.anatomy.person import Person
from common.phantom.anatomy.signed_distance import beam, components, smooth_intersection, squircle
from common.phantom.painting.bone_density import BoneDensity
from common.phantom.painting.canvas import Canvas
from common.phantom.painting.marrow import make_marrow, marrow_at
from common.phantom.painting.near import voxels_near


def paint_column(canvas: Canvas, column: Column, person: Person) -> None:
    """Paints discs, posterior ligaments and bones into `canvas.hu`, and the levels' ids into `canvas.labels`
    where more than half of a voxel is bone. Where two bones claim a voxel the nearer one has it."""
    for level in COLUMN_LEVELS[1:-1]:
        _paint_disc(canvas, column, level, person)
        _paint_interspinous(canvas, column, level)
    marrow = make_marrow(person.stream("marrow"))
    nearest = np.full(canvas.grid.shape, np.inf, np.float32)
    for number, level in enumerate(COLUMN_LEVELS, start=1):
        _paint_bone(canvas, column.bones[level], number, person, marrow, nearest)


def _paint_bone(
    canvas: Canvas, posed: PosedBone, number: int, person: Person, marrow: np.ndarray, nearest: np.ndarray
) -> None:
    window = canvas.window(*posed.world_bounds())
    if window is None:
        return
    where, world = voxels_near(canvas, window, posed.distance, posed.bone.moved_mm)
    if not len(world):
        return
    local = posed.to_local(world)
    distance = posed.bone.distance(local)
    cover = canvas.cover(distance)
    hu = _bone_hu(posed, local, world, distance, person, marrow, canvas)
    view, best, labels = canvas.hu[window], nearest[window], canvas.labels[window]
    cover = np.where(distance < best[where], cover, cover * 0.3)
    view[where] += cover * (hu - view[where])
    mine = (cover > 0.5) & (distance < best[where])
    labels[where] = np.where(mine, number, labels[where])
    best[where] = np.minimum(best[where], distance)
    if canvas.tissues is not None:
        shell = distance > -np.maximum(posed.bone.cortex_mm, canvas.grid.spacing.min())
        codes = canvas.tissues[window]
        codes[where] = np.where(mine, np.where(shell, number + tissues.CORTEX, number), codes[where])


def _bone_hu(
    posed: PosedBone,
    local: np.ndarray,
    world: np.ndarray,
    distance: np.ndarray,
    person: Person,
    marrow: np.ndarray,
    canvas: Canvas,
) -> np.ndarray:
    """HU (N,) that the bone would have at points if they were all bone."""
    bone = posed.bone
    density = BoneDensity.of(person, bone.level)
    x, y, z = components(local)
    body, edge = _in_body(bone.size, x, y, z), float(np.cbrt(np.prod(canvas.grid.spacing)))
    texture, slow = marrow_at(marrow, world), marrow_at(marrow, world * np.float32(0.31) + 17)
    inside = density.marrow(body, texture, slow)
    if bone.size["body_height"] > 0:
        half = bone.size["body_height"] / 2
        ends = np.clip((np.abs(z) - half + 4.0) / 4.0, 0, 1)
        inside += body * ends * ends * (70 + 160 * person.degeneration * ends)
        inside -= 190 * _basivertebral(bone.size, x, y, z, bone.level) * body
    inside += (60 + 260 * person.degeneration) * _beside_joints(bone, local)
    if bone.level == "C2":
        inside += 130 * np.clip((z - 8) / 6, 0, 1)
    cortex_mm = bone.cortex_mm * (1.3 - 0.8 * body)
    return density.in_cortex(inside, distance, cortex_mm, body, texture, slow, edge)


def _beside_joints(bone: Bone, local: np.ndarray) -> np.ndarray:
    """0..1: how near points (N, 3) lie to a facet joint, where bone is denser and wear makes it denser still."""
    near = np.zeros(len(local), np.float32)
    for name, point in bone.landmarks.items():
        if name.startswith("facet_"):
            away = local - point.astype(np.float32)
            np.maximum(near, 1 - np.einsum("ij,ij->i", away, away) / 60, out=near)
    return near


def _in_body(size: dict[str, float], x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """0..1: how much a local point belongs to the vertebral body rather than to the arch."""
    if size["body_height"] <= 0:
        return np.zeros_like(x)
    outside = squircle(x, y, size["body_width"] / 2, size["body_depth"] / 2, 0.4)
    above = np.abs(z) - np.float32(size["body_height"] / 2 + 1)
    return np.clip(0.5 - np.maximum(outside, above) / 4, 0, 1)


def _basivertebral(size: dict[str, float], x: np.ndarray, y: np.ndarray, z: np.ndarray, level: str) -> np.ndarray:
    """0..1 along the vein's channel, from the middle of the body's back wall to its centre."""
    depth = size["body_depth"]
    height = -0.18 * size["body_height"] if level == "C2" else 0.0
    across = np.hypot(x * 0.55, (z - np.float32(height)) * 1.0)
    length = np.clip((np.float32(0.02 * depth) - y) / np.float32(0.35 * depth), 0, 1)
    return np.clip(1.6 - across, 0, 1) * length


def _paint_disc(canvas: Canvas, column: Column, level: str, person: Person) -> None:
    """The disc under a vertebra, 60 to 110 HU, its ring denser than its core."""
    upper = column.bones[level]
    lower = column.bones[COLUMN_LEVELS[COLUMN_LEVELS.index(level) + 1]]
    size = lower.bone.size
    half_x, half_y = size["body_width"] / 2, size["body_depth"] / 2
    high = upper.to_world(upper.bone.landmarks["endplate_inferior"])
    low = lower.to_world(lower.bone.landmarks["endplate_superior"])
    reach = half_x + 3
    window = canvas.window((high + low) / 2 - reach, (high + low) / 2 + reach)
    if window is None:
        return
    x, y, z = components(lower.to_local(canvas.points(window)))
    middle = lower.to_local(((high + low) / 2).astype(np.float32))
    ring = squircle(x - middle[0], y - middle[1], half_x + 0.3, half_y + 0.3, 0.5)
    thick = disc_height(level, person) / 2 + 3.2
    distance = smooth_intersection(ring, np.abs(z - middle[2]) - np.float32(thick), 2.0)
    hu = 78 + 26 * np.clip(1 + ring / 5, 0, 1)
    shape = canvas.hu[window].shape
    canvas.paint(window, canvas.cover(distance).reshape(shape), hu.reshape(shape), tissues.DISC)


def _paint_interspinous(canvas: Canvas, column: Column, level: str) -> None:
    """The ligaments between two spinous processes."""
    upper, lower = (column.bones[k] for k in COLUMN_LEVELS[COLUMN_LEVELS.index(level) :][:2])
    marks = upper.bone.landmarks, lower.bone.landmarks
    start = upper.to_world(marks[0]["spinous_base"] * 0.5 + marks[0]["spinous_tip"] * 0.5)
    end = lower.to_world(marks[1]["spinous_base"] * 0.5 + marks[1]["spinous_tip"] * 0.5)
    corners = np.stack([start, end])
    window = canvas.window(corners.min(axis=0) - 8, corners.max(axis=0) + 8)
    if window is None:
        return
    distance = beam(canvas.points(window), start, end, (1.5, 7.0), (1.5, 7.0), up=(1, 0, 0))
    canvas.paint(window, 0.8 * canvas.cover(distance, 2.0), 75.0, tissues.SOFT)
