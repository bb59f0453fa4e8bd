"""The subjects' tissues where the rays of a batch of scans go: nearest-neighbour lookups at finer cells than the
window's."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stage1_segment.training.synthetic.batch import picked, stacked, those, to_device, values_at
from stage1_segment.training.synthetic.chest import raised_by
from stage1_segment.training.synthetic.interpolate import along_axes, smooth_weights, upsample
from stage1_segment.training.synthetic.lower_chest import NEVER, Repeat, look_again, repeat, seen_again
from stage1_segment.training.synthetic.lungs import with_lungs
from stage1_segment.training.synthetic.placement import Placement
from stage1_segment.training.synthetic.shoulders import with_girdle
from stage1_segment.training.synthetic.subject import Subject
from stage1_segment.training.synthetic.trunk import AS_MAPPED, Trunk

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
    elastic_mm: float,
    rng: np.random.Generator,
    trunk: Trunk = AS_MAPPED,
) -> Rays:
    """Of a window of (X, Y, Z) voxels. `elastic_mm`: standard deviation of the elastic deformation. Affine and elastic
    deformation together are made at few points, spread linearly later, which leaves the affine part exact."""
    cells = [FINER * n for n in window]
    counts = [max(-(-n // CONTROL), 1) + 1 for n in cells]
    mm = [np.linspace(0.5 - n / 2, n / 2 - 0.5, m) * voxel_mm / FINER for n, m in zip(cells, counts)]
    points = np.stack(np.meshgrid(*mm, indexing="ij"), axis=-1) @ placement.matrix.T + placement.centre
    if elastic_mm:
        points += _smooth_field(counts, cells, voxel_mm, rng) * elastic_mm
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
    index = upsample(stacked(rays, "points", device), [FINER * n for n in window])
    codes = _tissues(subjects, rays, index)
    trunks = [scan.trunk for scan in rays]
    lungs = those([trunk.lungs != AS_MAPPED.lungs for trunk in trunks])
    if lungs:
        those_subjects, those_rays = _of(lungs, subjects, rays)
        codes[to_device(lungs, device)] = _place_lungs(
            picked(codes, lungs), those_subjects, those_rays, picked(index, lungs)
        )
    gone = those([not trunk.shoulders.seen for trunk in trunks])
    if gone:
        codes[to_device(gone, device)] = with_girdle(picked(codes, gone), None)
    moved = those([trunk.shoulders.moved for trunk in trunks])
    if moved:
        there, ways = _of(moved, subjects, rays)
        forward, up = (stacked([way.trunk.shoulders for way in ways], name, device, 3) for name in ("forward", "up"))
        source = _shifted(there, picked(index, moved), -forward, -up)
        codes[to_device(moved, device)] = with_girdle(picked(codes, moved), _tissues(there, ways, source))
    return codes


def _of(numbers: list[int], *lists: Sequence) -> list[list]:
    return [[of[number] for number in numbers] for of in lists]


def _place_lungs(codes: Tensor, subjects: Sequence[Subject], rays: Sequence[Rays], index: Tensor) -> Tensor:
    """The codes (B, cells) with either lung moved; C7's middle parts left from right."""
    lungs = [scan.trunk.lungs for scan in rays]
    left = index[:, 0] < to_device([subject.grid.to_index(subject.centres[7])[0] for subject in subjects], index, 3)
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
    places = _places(subjects, index)
    instead, again = look_again(index, [scan.below for scan in rays])
    top = again.shape[-1]
    if top:
        places[..., :top] = _places(subjects, instead)
    codes = torch.empty(places.shape, dtype=torch.uint8, device=index.device)
    for subject, cells, found in zip(subjects, places.flatten(1), codes.flatten(1)):
        torch.index_select(subject.on(index.device), 0, cells, out=found)
    if top:
        lower = codes[..., :top]
        codes[..., :top] = torch.where(again, values_at(seen_again(), lower.int()), lower)
    return codes


def _places(subjects: Sequence[Subject], index: Tensor) -> Tensor:
    """(B, cells) int32: places in the subjects' flat labels of voxels (B, 3, cells); what is beyond is as what is
    outermost."""
    widths, depths, heights = zip(*(subject.labels.shape for subject in subjects))
    rows, bottoms = zip(*(subject.rows for subject in subjects))
    begins = np.cumsum([0, *(len(of_map) for of_map in rows)])
    x, y = _within(index[:, 0].round(), widths).int(), _within(index[:, 1].round(), depths).int()
    z = _within(index[:, 2].round().sub_(to_device(bottoms, index, 3)), [len(of_map) for of_map in rows]).int()
    if len(subjects) > 1:
        z.add_(to_device(begins[:-1].astype(np.int32), index, 3))
    z = values_at(torch.from_numpy(np.concatenate(rows)), z)
    depth, height = (to_device(np.array(sizes, np.int32), index, 3) for sizes in (depths, heights))
    return x.mul_(depth).add_(y).mul_(height).add_(z)


def _within(values: Tensor, counts: Sequence[int]) -> Tensor:
    """values (B, cells) from 0 up to below each scan's count, in place; one number for all scans is much faster."""
    values.clamp_(0, max(counts) - 1)
    return values if len(set(counts)) == 1 else torch.minimum(values, to_device(counts, values, 3).float() - 1)


def _smooth_field(
    counts: Sequence[int], cells: Sequence[int], voxel_mm: float, rng: np.random.Generator
) -> np.ndarray:
    """(*counts, 3) smooth random displacement of about unit variance."""
    knots = [max(round(n * voxel_mm / FINER / KNOTS_MM), 1) + 3 for n in cells]
    field = torch.from_numpy(rng.normal(0, 1.5, (3, *knots)).astype(np.float32))
    weights = [smooth_weights([old], new, field.device)[0] for old, new in zip(knots, counts)]
    return along_axes(field, weights).permute(1, 2, 3, 0).numpy()
