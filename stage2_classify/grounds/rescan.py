"""A healthy scan -> its vertebrae as other scanners would show them, half of them broken."""

import numpy as np
from scipy import ndimage
from scipy.interpolate import make_interp_spline
from scipy.spatial.transform import Rotation

from common.labels import LEVEL_IDS, LEVELS
from common.resample import AIR_HU, averaged_for, resample
from common.volume import Grid, Volume
from stage2_classify.crops.cut import FAR_MM, Crops, bone_window, coarse_grid, coarse_shape, crop_shape, vertebra_grids
from stage2_classify.grounds.bone import Bone
from stage2_classify.grounds.compression import COMPRESSED_LEVELS, COMPRESSIONS, compress
from stage2_classify.grounds.fractures import WIDTH_MM, break_bone
from stage2_classify.grounds.mimics import add_mimics
from stage2_classify.grounds.scanner import scan, sharpen_bone
from stage2_classify.grounds.swelling import BRUISED, bruise, swell
from stage2_classify.settings import CropSettings

BROKEN = "synthetic fracture"
"""The flag of a level that was broken, with the kind after it."""
MARGIN_MM = 4.0
FINE_MM, SLICE_MM = (0.3, 0.9), (0.4, 1.2)
SLICE_TO_FINE = (0.8, 1.5)
"""Voxels of the virtual scanners: across, along, and at least so much along for what they have across."""
SHOWS_HAIRLINES_MM = 0.6
TILT_DEG, OFF_AXES_DEG, OFF_CENTRE_MM = 8.0, 4.0, 1.5
"""Standard deviations: of a vertebra against the scanner; of a crop against the vertebra's true axes and middle."""
STRETCH, SIZE = 0.08, 0.06
"""Standard deviations of the logarithm, along each axis and of all three."""
BEND_MM, BEND_CELL_MM = 1.2, (10.0, 20.0)
"""Standard deviation of how far bone is bent, and over what length that changes."""
STEEPEST = 0.6
"""Largest change of that for each mm of way: from 1 on bone would be folded."""


def rescan(
    ct: Volume,
    mask: Volume,
    settings: CropSettings,
    rng: np.random.Generator,
    compression: float = 0.1,
    swelling: float = 0.0,
) -> Crops:
    """CT in HU of a healthy neck and its mask (ids 1..8) on the same grid -> crops of the levels in view, each turned,
    stretched, perhaps mirrored and broken, and scanned anew. A broken level has the flag BROKEN and its `distance`;
    the others' distance is FAR_MM everywhere. `compression`: the part of the broken bodies that lost height;
    `swelling`: the part of the broken vertebrae with blood beside them, and BRUISED times that of the healthy ones."""
    grids, flags = vertebra_grids(mask, settings)
    shape = crop_shape(settings)
    images = np.zeros((len(LEVELS), 2, *shape), np.uint8)
    distance = np.full((len(LEVELS), *coarse_shape(shape)), FAR_MM, np.uint8)
    affines = np.tile(np.eye(4), (len(LEVELS), 1, 1))
    of_swelling = rng.spawn(len(LEVELS))  # its draws leave all others as they are
    for row, level in enumerate(LEVELS):
        if level not in grids:
            continue
        broken = None
        bone, frame = _on_scanner(ct, mask, grids[level], level, rng)
        bone = add_mimics(sharpen_bone(bone, rng), rng)
        cut = _cut_near(grids[level], rng)
        if rng.random() < 0.5:
            kind = str(rng.choice(list(WIDTH_MM), p=_chances(bone.spacing)))
            broken = break_bone(bone, kind, rng)
            if level in COMPRESSED_LEVELS and rng.random() < compression:
                kind = str(rng.choice(list(COMPRESSIONS), p=list(COMPRESSIONS.values())))
                broken = compress(bone, kind, rng)
            if broken is not None:
                bone = bone.with_ct(broken[0])
                distance[row] = _distance(frame.with_array(broken[1]), cut)
                flags.setdefault(level, []).append(f"{BROKEN}: {kind}")
        bone = _swollen(bone, None if broken is None else broken[1], swelling, of_swelling[row])
        picture = frame.with_array(scan(bone.ct, bone.spacing, rng))
        images[row, 0] = bone_window(resample(picture, cut, fill=AIR_HU).array, settings.window_hu)
        images[row, 1] = resample(frame.with_array(255 * bone.mask), cut, fill=0).array
        affines[row] = cut.affine
    return Crops(images, np.array([level in grids for level in LEVELS]), affines, distance, flags)


def _swollen(bone: Bone, where: np.ndarray | None, chance: float, rng: np.random.Generator) -> Bone:
    """A vertebra with blood about what is broken, `where`, or a bruise where nothing is, as often as that comes."""
    if rng.random() >= chance * (BRUISED if where is None else 1):
        return bone
    return bone.with_ct(bruise(bone, rng) if where is None else swell(bone, where, rng))


def _on_scanner(ct: Volume, mask: Volume, grid: Grid, level: str, rng: np.random.Generator) -> tuple[Bone, Volume]:
    """A vertebra on a virtual scanner's grid about its crop's `grid`, and the same as a volume in the crop's world.

    The bone is stretched along its own axes and mirrored half of the time, so that the scanner's voxels lie in the
    ground's world where no scanner's would."""
    axes = grid.affine[:3, :3] / grid.spacing
    fine = rng.uniform(*FINE_MM)
    spacing = np.array([fine, fine, max(fine * rng.uniform(*SLICE_TO_FINE), rng.uniform(*SLICE_MM))])
    tilt = Rotation.from_rotvec(np.radians(rng.normal(0, TILT_DEG, 3))).as_matrix()
    size = np.array(grid.shape) * grid.spacing + 2 * MARGIN_MM
    scanner = Grid.around(grid.centre, size, spacing, axes @ tilt)
    stretch = np.exp(rng.normal(0, STRETCH, 3) + rng.normal(0, SIZE)) * [rng.choice([-1, 1]), 1, 1]
    to_ground = axes @ np.diag(stretch) @ axes.T
    affine = np.eye(4)
    affine[:3, :3] = to_ground @ scanner.affine[:3, :3]
    affine[:3, 3] = grid.centre + to_ground @ (scanner.affine[:3, 3] - grid.centre)
    source = Grid(scanner.shape, affine)
    offset = _bend_mm(scanner, rng)
    spare_mm = float(np.abs(offset).max())
    near, of_level = _about(ct, source, spare_mm), _about(mask, source, spare_mm)
    of_level = of_level.with_array((of_level.array == LEVEL_IDS[level]).astype(np.float32))
    picture, own = _at_bent(near, source, offset, AIR_HU), _at_bent(of_level, source, offset, 0)
    return Bone(picture, own, spacing, tilt.T, level), Volume(picture, scanner.affine)


def _bend_mm(grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """(3, X, Y, Z) float32 mm: how far a smooth deformation moves each place of a grid, along the ground's axes."""
    cell, mm = rng.uniform(*BEND_CELL_MM), abs(rng.normal(0, BEND_MM))
    between = [_spline(n, max(int(n * s / cell), 2) + 2) for n, s in zip(grid.shape, grid.spacing)]
    knots = rng.standard_normal([3, *(m.shape[1] for m in between)], dtype=np.float32)
    offset = np.float32(mm) * np.einsum("ai,bj,ck,nijk->nabc", *between, knots, optimize=True)
    steepest = max(float(np.abs(np.diff(offset, axis=1 + axis)).max()) / grid.spacing[axis] for axis in range(3))
    return offset * np.float32(STEEPEST / max(steepest, STEEPEST))


def _at_bent(volume: Volume, grid: Grid, offset: np.ndarray, fill: float) -> np.ndarray:
    """(X, Y, Z) float32 on a grid whose places are moved by `offset` (3, X, Y, Z) mm along the volume's axes: linear,
    block means first where the grid is coarser by two or more."""
    volume = averaged_for(volume, grid)
    matrix = (np.linalg.inv(volume.affine) @ grid.affine).astype(np.float32)
    x, y, z = np.ogrid[tuple(slice(0, n) for n in grid.shape)]
    index = offset / volume.spacing.astype(np.float32)[:, None, None, None]
    for axis, (a, b, c, start) in enumerate(matrix[:3]):
        index[axis] += a * x + b * y + c * z + start
    return ndimage.map_coordinates(volume.array, index, order=1, cval=fill)


def _spline(points: int, knots: int) -> np.ndarray:
    """(points, knots) float32: values at `knots` equally far apart -> their cubic spline at `points`."""
    return make_interp_spline(np.arange(knots), np.eye(knots))(np.linspace(0, knots - 1, points)).astype(np.float32)


def _about(volume: Volume, grid: Grid, spare_mm: float) -> Volume:
    """The part of a volume that a grid and what lies `spare_mm` about it need, float32."""
    index, spare = volume.grid.to_index(grid.corners()), 2 + spare_mm / volume.spacing
    part = volume.crop(np.floor(index.min(axis=0) - spare), np.ceil(index.max(axis=0) + spare) + 1)
    return part.with_array(part.array.astype(np.float32))


def _chances(spacing: np.ndarray) -> list[float]:
    """How likely each kind of WIDTH_MM is: hairlines seldom where voxels are too large to show them."""
    hairline = 1 / 3 if spacing[0] < SHOWS_HAIRLINES_MM else 0.15
    return [hairline if kind == "hairline" else (1 - hairline) / 2 for kind in WIDTH_MM]


def _cut_near(grid: Grid, rng: np.random.Generator) -> Grid:
    """A crop's grid as another mask would have placed it."""
    turned = grid.affine[:3, :3] / grid.spacing
    turned = turned @ Rotation.from_rotvec(np.radians(rng.normal(0, OFF_AXES_DEG, 3))).as_matrix()
    centre = grid.centre + rng.normal(0, OFF_CENTRE_MM, 3)
    return Grid.around(centre, np.array(grid.shape) * grid.spacing, grid.spacing, turned)


def _distance(where: Volume, cut: Grid) -> np.ndarray:
    """A fracture's voxels (X, Y, Z) bool -> mm to it on the crop's coarse grid, uint8."""
    if not where.array.any():
        return np.full(coarse_shape(cut.shape), FAR_MM, np.uint8)
    mm = ndimage.distance_transform_edt(~where.array, sampling=where.spacing).astype(np.float32)
    coarse = coarse_grid(cut)
    return np.clip(resample(where.with_array(mm), coarse, fill=FAR_MM).array, 0, FAR_MM).astype(np.uint8)
