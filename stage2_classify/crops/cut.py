"""A vertebra's crop: CT in a bone window and the vertebra's mask, cut along its own axes at constant physical size."""

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from common.labels import LEVEL_IDS, LEVELS
from common.masks.alternatives import Alternatives
from common.reading.plausibility.judge import METAL_HU
from common.resample import AIR_HU, resample, shrink
from common.volume import Grid, Volume
from common.workers.threads import at_once
from stage2_classify.crops import vertebra_axes
from stage2_classify.settings import CropSettings

CUT_OFF, THICK, METAL = "cut off", "thick voxels", "metal"
"""Flags of a level: it reaches the scan's first or last slice; the scan has a voxel edge of more than THICK_MM; more
than METAL_MM3 near it are brighter than bone."""
THICK_MM = 2.0
METAL_MM3 = 40.0
COARSE = 4
"""Distances to boxes are kept on a grid this many times coarser than the crop's."""
FAR_MM = 255
"""Largest distance kept."""


@dataclass(frozen=True, eq=False)
class Crops:
    """What stage 2 sees of one study.

    `images` (L, 2, X, Y, Z) uint8: CT window and mask, each 0..255; axes right, anterior, superior.
    `present` (7,) bool: levels in view. `affines` (L, 4, 4): cell index -> world RAS mm.
    `distance` (L, X', Y', Z') uint8: mm to the nearest fracture box, or None when the study has no boxes.
    `flags`: level name -> remarks. `notices`: what was said of scan and mask. `alternatives`: what each level may be
    instead (common.masks.alternatives), {} where that isn't known.
    L = 7 (a level that isn't in view is all zero), or 1 for a whole study.
    """

    images: np.ndarray
    present: np.ndarray
    affines: np.ndarray
    distance: np.ndarray | None
    flags: dict[str, list[str]]
    notices: tuple[str, ...] = ()
    alternatives: Alternatives = field(default_factory=dict)


def crop_shape(settings: CropSettings) -> tuple[int, int, int]:
    """Cells of a level's crop along right, anterior, superior."""
    return Grid.around(np.zeros(3), settings.size_mm, settings.spacing_mm).shape


def cut_study(ct: Volume, mask: Volume, settings: CropSettings, boxes: np.ndarray | None = None) -> Crops:
    """CT in HU and mask (ids 1..8) on the same grid -> the crops of the seven levels.

    `boxes` (n, 2, 3): lower and upper corners of the fracture boxes, world RAS mm; None or n = 0: no boxes known.
    """
    boxes = None if boxes is None or len(boxes) == 0 else np.asarray(boxes, dtype=np.float64)
    grids, flags = vertebra_grids(mask, settings)
    shape = crop_shape(settings)
    images = np.zeros((len(LEVELS), 2, *shape), np.uint8)
    distance = None if boxes is None else np.full((len(LEVELS), *coarse_shape(shape)), FAR_MM, np.uint8)
    affines = np.tile(np.eye(4), (len(LEVELS), 1, 1))

    def cut_level(level: str) -> bool:
        row, grid = LEVELS.index(level), grids[level]
        images[row] = cut_vertebra(ct, mask, grid, level, settings)
        affines[row] = grid.affine
        if boxes is not None and distance is not None:
            distance[row] = np.minimum(box_distance(coarse_grid(grid), boxes), FAR_MM)
        return _metal(ct, grid)

    for level, metal in zip(grids, at_once(cut_level, list(grids))):
        if metal:
            flags.setdefault(level, []).append(METAL)
    present = np.array([level in grids for level in LEVELS])
    notices = tuple(dict.fromkeys((*ct.notices, *mask.notices)))
    return Crops(images, present, affines, distance, flags, notices)


def cut_vertebra(ct: Volume, mask: Volume, grid: Grid, level: str, settings: CropSettings) -> np.ndarray:
    """CT in HU and mask (ids 1..8) on the same grid -> a level on `grid`: (2, X, Y, Z) uint8, as `Crops.images`."""
    picture = bone_window(_cut(ct, grid, AIR_HU), settings.window_hu)
    return np.stack([picture, _cut(mask, grid, 0.0, LEVEL_IDS[level]).astype(np.uint8)])


def shrink_study(ct: Volume, settings: CropSettings) -> Crops:
    """The whole study as one image of `study_shape` cells, for the naive network; no mask, no boxes."""
    shape = np.array(settings.study_shape)
    blocks = shrink(ct, np.maximum(np.array(ct.array.shape) // shape, 1))
    zoom = (np.array(blocks.array.shape) - 1) / np.maximum(shape - 1, 1)
    array = ndimage.affine_transform(blocks.array, zoom, output_shape=tuple(shape), order=1, mode="nearest")
    affine = blocks.affine.copy()
    affine[:3, :3] = affine[:3, :3] * zoom
    images = np.zeros((1, 2, *shape), np.uint8)
    images[0, 0] = bone_window(array, settings.window_hu)
    return Crops(images, np.ones(len(LEVELS), bool), affine[None], None, {}, ct.notices)


def vertebra_grids(mask: Volume, settings: CropSettings) -> tuple[dict[str, Grid], dict[str, list[str]]]:
    """Mask (ids 1..8) -> the grid of every level in view, and remarks by level name ("not in view", "cut off")."""
    points, counts = vertebra_axes.level_points(mask)
    centroids = {level: p.mean(axis=0) for level, p in points.items()}
    cell_mm3 = abs(np.linalg.det(mask.affine[:3, :3]))
    grids, flags = {}, {}
    for level, number in LEVEL_IDS.items():
        if counts.get(number, 0) * cell_mm3 < settings.min_volume_mm3:
            flags[level] = ["not in view"]
            continue
        axes = np.eye(3)
        if settings.oriented:
            axes = vertebra_axes.own_axes(points[number], vertebra_axes.superior_axis(centroids, number))
        middle = vertebra_axes.middle(points[number], axes)
        grids[level] = Grid.around(middle, settings.size_mm, settings.spacing_mm, axes)
        if _touches_edge(mask, number):
            flags.setdefault(level, []).append(CUT_OFF)
        if mask.spacing.max() > THICK_MM:
            flags.setdefault(level, []).append(THICK)
    return grids, flags


def box_distance(grid: Grid, boxes: np.ndarray) -> np.ndarray:
    """Distance (X, Y, Z) in mm of each cell's centre to the nearest of `boxes` (n, 2, 3) world RAS mm; 0 inside."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    world = grid.to_world(index)
    nearest = np.full(grid.shape, np.inf)
    for low, high in np.sort(boxes, axis=1):
        outside = np.maximum(np.maximum(low - world, world - high), 0)
        nearest = np.minimum(nearest, np.linalg.norm(outside, axis=-1))
    return nearest


def _cut(volume: Volume, grid: Grid, fill: float, label: int | None = None) -> np.ndarray:
    """Values of `volume` on `grid`, float32, or 255 where they are `label` and 0 elsewhere; only the part of the volume
    that is needed is read."""
    index = volume.grid.to_index(grid.corners())
    margin = 2 + np.ceil(grid.spacing.max() / volume.spacing)
    start, stop = np.floor(index.min(axis=0) - margin), np.ceil(index.max(axis=0) + margin)
    try:
        part = volume.crop(start, stop)
    except ValueError:
        return np.full(grid.shape, fill, np.float32)
    array = part.array.astype(np.float32) if label is None else np.float32(255) * (part.array == label)
    return resample(part.with_array(array), grid, order=1, fill=fill).array


def _metal(ct: Volume, grid: Grid) -> bool:
    """Whether there is metal in a level's crop; teeth and cortex are darker."""
    index = ct.grid.to_index(grid.corners())
    try:
        near = ct.crop(np.floor(index.min(axis=0)), np.ceil(index.max(axis=0)) + 1)
    except ValueError:
        return False
    return bool((near.array > METAL_HU).sum() * abs(np.linalg.det(ct.affine[:3, :3])) > METAL_MM3)


def bone_window(hu: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """HU of any shape -> the same as uint8: 0 at the window's lower end, 255 at its upper one."""
    low, high = window
    return np.clip((hu - low) * (255 / (high - low)) + 0.5, 0, 255).astype(np.uint8)


def coarse_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the grid that distances are kept on, for crops of `shape`."""
    return tuple(-(-n // COARSE) for n in shape)


def coarse_grid(grid: Grid) -> Grid:
    """The grid that covers the same box with cells `COARSE` times as long (last cells cut where it doesn't divide)."""
    shape = coarse_shape(grid.shape)
    size = np.array(grid.shape) * grid.spacing
    return Grid.around(grid.centre, size, size / shape, grid.affine[:3, :3] / grid.spacing)


def _touches_edge(mask: Volume, number: int) -> bool:
    """True when the level reaches the first or last slice along the axis nearest to superior."""
    axis = int(np.argmax(np.abs(mask.affine[2, :3])))
    slices = np.moveaxis(mask.array, axis, 0)  # np.take would copy the whole volume
    return bool((slices[0] == number).any() or (slices[-1] == number).any())
