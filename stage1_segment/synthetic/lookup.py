"""The subject's tissues where the scan's rays go: one nearest-neighbour lookup at finer cells than the window's."""

import numpy as np
import torch
from torch import Tensor

from stage1_segment.synthetic.chest import Chest, raised_by
from stage1_segment.synthetic.girdle import with_girdle
from stage1_segment.synthetic.lower_chest import LowerChest, look_again, seen_again
from stage1_segment.synthetic.lungs import with_lungs
from stage1_segment.synthetic.placement import Placement
from stage1_segment.synthetic.subject import Subject
from stage1_segment.synthetic.tables import values_at
from stage1_segment.synthetic.trunk import AS_MAPPED, Trunk

FINER = 2
"""Cells of the lookup along each side of a window's voxel."""
CONTROL = 8
"""Cells between the points of the elastic deformation's grid, at most."""


def look_up(
    subject: Subject,
    placement: Placement,
    window: tuple[int, int, int],
    voxel_mm: float,
    bend_mm: float,
    rng: np.random.Generator,
    trunk: Trunk = AS_MAPPED,
) -> Tensor:
    """Tissue codes (FINER * X, FINER * Y, FINER * Z) uint8 of a window of (X, Y, Z) voxels. `bend_mm`: standard
    deviation of the elastic deformation. Beyond the map's sides its outermost voxels go on, below it the chest does
    (`trunk.lower`); the scan (`placement`) ends before the map does above."""
    index = _index(subject, placement, window, voxel_mm, bend_mm, rng, trunk.chest)
    codes = _tissues(subject, index, trunk.lower)
    if trunk.lungs != AS_MAPPED.lungs:
        codes = _place_lungs(codes, subject, index, trunk)
    girdle = trunk.girdle
    if not girdle.seen:
        return with_girdle(codes, None)
    if girdle == AS_MAPPED.girdle:
        return codes
    moved = _shifted(subject, index, 0.0, -girdle.forward, -girdle.up)
    return with_girdle(codes, _tissues(subject, moved, trunk.lower))


def _place_lungs(codes: Tensor, subject: Subject, index: Tensor, trunk: Trunk) -> Tensor:
    """The codes (cells) with either lung moved; C7's middle parts left from right."""
    left = index[0] < float(subject.grid.to_index(subject.centres[7])[0])
    up = torch.where(left, *(torch.tensor(mm, dtype=index.dtype) for mm in trunk.lungs.up))
    raised, lowered = (
        _tissues(subject, _shifted(subject, index, 0.0, 0.0, mm), trunk.lower) for mm in (-up, trunk.lungs.down)
    )
    return with_lungs(codes, up, raised, lowered)


def _shifted(subject: Subject, index: Tensor, *mm: float | Tensor) -> Tensor:
    """Voxels (3, cells) of the map, each moved by millimetres of the subject along x, y and z."""
    return torch.stack([i + distance / float(step) for i, distance, step in zip(index, mm, subject.grid.spacing)])


def _tissues(subject: Subject, index: Tensor, lower: LowerChest | None) -> Tensor:
    """Codes (cells) uint8 at voxels (3, cells) of the map."""
    if lower is not None:
        index, again = look_again(index, subject, lower)
    sides = subject.labels.shape
    x, y = (index[axis].round().clamp_(0, sides[axis] - 1).int() for axis in (0, 1))
    rows, first = subject.rows
    z = (index[2].round() - first).clamp_(0, len(rows) - 1).int()
    z = values_at(torch.from_numpy(rows), z)
    flat = (x * sides[1] + y) * sides[2] + z
    codes = values_at(torch.from_numpy(subject.labels).view(-1), flat)
    return codes if lower is None else torch.where(again, values_at(seen_again(), codes.int()), codes)


def _index(subject, placement, window, voxel_mm, bend_mm, rng, chest: Chest) -> Tensor:
    """(3, cells) voxel of the map that each cell looks at, float32. Affine and elastic deformation together are made
    on a coarse grid and spread linearly, which leaves the affine part exact."""
    cells = [FINER * n for n in window]
    counts = [max(-(-n // CONTROL), 1) + 1 for n in cells]
    mm = [np.linspace(0.5 - n / 2, n / 2 - 0.5, m) * voxel_mm / FINER for n, m in zip(cells, counts)]
    points = np.stack(np.meshgrid(*mm, indexing="ij"), axis=-1) @ placement.matrix.T + placement.centre
    if bend_mm:
        points += _smooth_field(counts, cells, voxel_mm, rng) * bend_mm
    if chest != AS_MAPPED.chest:
        points[..., 2] -= raised_by(points, subject, chest)
    index = torch.from_numpy(subject.grid.to_index(points).astype(np.float32))
    return spread(index.permute(3, 0, 1, 2), cells)


def _smooth_field(counts, cells, voxel_mm, rng) -> np.ndarray:
    """(*counts, 3) smooth random displacement of about unit variance; knots about 45 mm apart."""
    knots = [max(round(n * voxel_mm / FINER / 45), 1) + 3 for n in cells]
    field = torch.from_numpy(rng.normal(0, 1.5, (3, *knots)).astype(np.float32))
    return spread(field, counts, smooth=True).permute(1, 2, 3, 0).numpy()


def spread(values: Tensor, sizes: list[int], smooth: bool = False) -> Tensor:
    """(C, x, y, z) enlarged to (C, *sizes), first and last points staying where they are: linear, or cubic B-spline
    (`smooth`), which has no edges. Three matrix products: the fastest way on a CPU."""
    for axis, size in ((3, sizes[2]), (2, sizes[1]), (1, sizes[0])):
        weights = _weights(values.shape[axis], size, smooth)
        values = torch.movedim(torch.movedim(values, axis, 3) @ weights.T, 3, axis)
    return values.contiguous()


def _weights(old: int, new: int, smooth: bool) -> Tensor:
    """(new, old) weights of the interpolation."""
    inner = old - 3 if smooth else old - 1
    position = np.linspace(1 if smooth else 0, (1 if smooth else 0) + max(inner, 0), new)
    distance = np.abs(position[:, None] - np.arange(old)[None])
    if smooth:
        near, far = 2 / 3 - distance**2 + distance**3 / 2, (2 - distance).clip(0) ** 3 / 6
        weights = np.where(distance < 1, near, far)
    else:
        weights = (1 - distance).clip(0)
    return torch.from_numpy(weights.astype(np.float32))
