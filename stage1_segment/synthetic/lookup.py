"""The subjects' tissues where the rays of a batch of scans go: nearest-neighbour lookups at finer cells than the
window's."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stage1_segment.synthetic.chest import raised_by
from stage1_segment.synthetic.girdle import with_girdle
from stage1_segment.synthetic.lower_chest import NEVER, Repeat, look_again, repeat, seen_again
from stage1_segment.synthetic.lungs import with_lungs
from stage1_segment.synthetic.placement import Placement
from stage1_segment.synthetic.spread import along_axes, smooth_weights, spread
from stage1_segment.synthetic.subject import Subject
from stage1_segment.synthetic.tables import stacked, values_at
from stage1_segment.synthetic.trunk import AS_MAPPED, Trunk

FINER = 2
"""Cells of the lookup along each side of a window's voxel."""
CONTROL = 8
"""Cells between the points of a ray's way, at most."""
KNOTS_MM = 45.0
"""Between the knots of the elastic deformation."""


@dataclass(frozen=True, eq=False)
class Rays:
    """Where one scan's rays go: `points` (3, x, y, z) float32, voxels of the map that points spread evenly over the
    window's cells look at; what of the trunk stands elsewhere; what follows below the map."""

    points: np.ndarray
    trunk: Trunk
    below: Repeat


def draw_rays(
    subject: Subject,
    placement: Placement,
    window: tuple[int, int, int],
    voxel_mm: float,
    bend_mm: float,
    rng: np.random.Generator,
    trunk: Trunk = AS_MAPPED,
) -> Rays:
    """Of a window of (X, Y, Z) voxels. `bend_mm`: standard deviation of the elastic deformation. Affine and elastic
    deformation together are made at few points, spread linearly later, which leaves the affine part exact."""
    cells = [FINER * n for n in window]
    counts = [max(-(-n // CONTROL), 1) + 1 for n in cells]
    mm = [np.linspace(0.5 - n / 2, n / 2 - 0.5, m) * voxel_mm / FINER for n, m in zip(cells, counts)]
    points = np.stack(np.meshgrid(*mm, indexing="ij"), axis=-1) @ placement.matrix.T + placement.centre
    if bend_mm:
        points += _smooth_field(counts, cells, voxel_mm, rng) * bend_mm
    if trunk.chest != AS_MAPPED.chest:
        points[..., 2] -= raised_by(points, subject, trunk.chest)
    index = np.moveaxis(subject.grid.to_index(points), -1, 0)
    below = NEVER if trunk.lower is None else repeat(subject, trunk.lower, index, cells[2])
    return Rays(np.ascontiguousarray(index, np.float32), trunk, below)


def look_up(
    subjects: Sequence[Subject], rays: Sequence[Rays], window: tuple[int, int, int], device: torch.device
) -> Tensor:
    """Tissue codes (B, FINER * X, FINER * Y, FINER * Z) uint8 of B windows of (X, Y, Z) voxels. Beyond a map's sides
    its outermost voxels go on, below it the chest does; the scan (`Placement`) ends before the map does above."""
    index = spread(stacked(rays, "points", device), [FINER * n for n in window])
    codes = _tissues(subjects, rays, index)
    lungs = [number for number, scan in enumerate(rays) if scan.trunk.lungs != AS_MAPPED.lungs]
    if lungs:
        codes[lungs] = _place_lungs(codes[lungs], *_picked(lungs, subjects, rays), index[lungs])
    gone = [number for number, scan in enumerate(rays) if not scan.trunk.girdle.seen]
    if gone:
        codes[gone] = with_girdle(codes[gone], None)
    moved = [number for number, scan in enumerate(rays) if scan.trunk.girdle.moved]
    if moved:
        there, ways = _picked(moved, subjects, rays)
        girdles = [way.trunk.girdle for way in ways]
        forward, up = (stacked(girdles, name, device, 3) for name in ("forward", "up"))
        source = _shifted(there, index[moved], -forward, -up)
        codes[moved] = with_girdle(codes[moved], _tissues(there, ways, source))
    return codes


def _picked(numbers: list[int], *lists: Sequence) -> list[list]:
    return [[of[number] for number in numbers] for of in lists]


def _place_lungs(codes: Tensor, subjects: Sequence[Subject], rays: Sequence[Rays], index: Tensor) -> Tensor:
    """The codes (B, cells) with either lung moved; C7's middle parts left from right."""
    lungs = [scan.trunk.lungs for scan in rays]
    middle = np.array([subject.grid.to_index(subject.centres[7])[0] for subject in subjects], np.float32)
    left = index[:, 0] < torch.from_numpy(middle).to(index.device)[:, None, None, None]
    up, down = stacked(lungs, "up", index, 3), stacked(lungs, "down", index, 3)
    up = torch.where(left, up[:, 0], up[:, 1])
    still = torch.zeros_like(down)
    raised = _tissues(subjects, rays, _shifted(subjects, index, still, -up))
    lowered = _tissues(subjects, rays, _shifted(subjects, index, still, down))
    return with_lungs(codes, up, raised, lowered)


def _shifted(subjects: Sequence[Subject], index: Tensor, forward: Tensor, up: Tensor) -> Tensor:
    """Voxels (B, 3, cells) of the maps, each moved by millimetres (B, ...) of the subject along y and z."""
    step = stacked([subject.grid for subject in subjects], "spacing", index, 3)
    return torch.stack([index[:, 0], index[:, 1] + forward / step[:, 1], index[:, 2] + up / step[:, 2]], dim=1)


def _tissues(subjects: Sequence[Subject], rays: Sequence[Rays], index: Tensor) -> Tensor:
    """Codes (B, cells) uint8 at voxels (B, 3, cells) of the maps."""
    repeats = [scan.below for scan in rays]
    index, again = look_again(index, repeats)
    maps = [subject.on(index.device) for subject in subjects]
    x, y, z = (index[:, axis].round() for axis in range(3))
    codes = torch.empty(x.shape, dtype=torch.uint8, device=index.device)
    for number, (subject, (labels, rows)) in enumerate(zip(subjects, maps)):
        width, depth, height = subject.labels.shape
        row = values_at(rows, (z[number] - subject.rows[1]).clamp_(0, len(rows) - 1).int())
        column = x[number].clamp_(0, width - 1).int() * depth + y[number].clamp_(0, depth - 1).int()
        codes[number] = values_at(labels, column * height + row)
    top = again.shape[-1]
    if top:
        lower = codes[..., :top]
        codes[..., :top] = torch.where(again, values_at(seen_again(), lower.int().contiguous()), lower)
    return codes


def _smooth_field(counts, cells, voxel_mm, rng) -> np.ndarray:
    """(*counts, 3) smooth random displacement of about unit variance."""
    knots = [max(round(n * voxel_mm / FINER / KNOTS_MM), 1) + 3 for n in cells]
    field = torch.from_numpy(rng.normal(0, 1.5, (3, *knots)).astype(np.float32))
    weights = [torch.from_numpy(smooth_weights(old, new)) for old, new in zip(knots, counts)]
    return along_axes(field, weights).permute(1, 2, 3, 0).numpy()
