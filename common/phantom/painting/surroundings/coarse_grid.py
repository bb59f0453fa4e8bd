"""A grid coarser than the canvas on which smooth anatomy is evaluated as distances, then painted sharply."""

from collections.abc import Iterator
from itertools import pairwise

import cv2
import numpy as np

from common.phantom.painting.canvas import Canvas
from common.volume import Vector

Box = tuple[slice, ...]


class CoarseGrid:
    """Blocks of `factor` (3,) canvas voxels, as near to `step_mm` as whole numbers allow. `axes`: world mm of the
    blocks' centres along x, y, z, shaped to broadcast; `whole`: the box of everything."""

    def __init__(self, canvas: Canvas, step_mm: float = 1.5, step_z_mm: float | None = None) -> None:
        steps = np.array([step_mm, step_mm, step_z_mm or step_mm])
        spacing = canvas.grid.spacing
        self.canvas = canvas
        self.factor = np.maximum(np.round(steps / spacing), 1).astype(int)
        self.shape = tuple(int(-(-n // f)) for n, f in zip(canvas.grid.shape, self.factor))
        self.step = self.factor * spacing
        self.first = canvas.grid.affine[:3, 3] + (self.factor - 1) / 2 * spacing
        lines = [self.first[k] + self.step[k] * np.arange(self.shape[k]) for k in range(3)]
        self.axes = [
            line.reshape([-1 if k == j else 1 for j in range(3)]).astype(np.float32) for k, line in enumerate(lines)
        ]
        self.whole: Box = tuple(slice(0, n) for n in self.shape)

    def box(self, low: Vector, high: Vector) -> Box | None:
        """Slices of the blocks between world corners (3,) mm with one to spare; None when outside."""
        start = np.floor((np.asarray(low) - self.first) / self.step).astype(int) - 1
        stop = np.ceil((np.asarray(high) - self.first) / self.step).astype(int) + 2
        start, stop = np.clip(start, 0, self.shape), np.clip(stop, 0, self.shape)
        return None if (stop <= start).any() else tuple(slice(int(a), int(b)) for a, b in zip(start, stop))

    def points(self, box: Box) -> list[np.ndarray]:
        """World x, y, z of a box's blocks, shaped to broadcast."""
        return [axis[tuple(box[j] if j == k else slice(None) for j in range(3))] for k, axis in enumerate(self.axes)]

    def paint(
        self,
        box: Box,
        distance: np.ndarray,
        hu: np.ndarray | float,
        tissue: int | None = None,
        edge_mm: float | None = None,
    ) -> None:
        """Lays a tissue where `distance` (box's shape, mm) is negative; `hu` a number or an array of that shape;
        `tissue` its code, for a canvas that notes them."""
        edge = edge_mm or float(np.cbrt(np.prod(self.canvas.grid.spacing)))
        covered = np.float32(0.5) - distance * np.float32(1 / edge)
        arrays = [covered, hu] if isinstance(hu, np.ndarray) else [covered]
        for where, (cover, *rest) in self._slabs(box, arrays, covered > 0):
            np.maximum(cover, 0, out=cover)
            np.minimum(cover, 1, out=cover)
            under = self.canvas.hu[where]
            change = (rest[0] if rest else hu) - under
            change *= cover
            under += change
            self.canvas.note(where, cover, tissue)

    def paint_bone(
        self,
        box: Box,
        distance: np.ndarray,
        cortex_mm: np.ndarray | float,
        cortex_hu: float,
        marrow_hu: np.ndarray | float,
        tissues: tuple[int, int] | tuple[None, None] = (None, None),
    ) -> None:
        """A compact shell of `cortex_mm` about marrow; `tissues`: the codes of the two."""
        self.paint(box, distance, cortex_hu, tissues[0])
        self.paint(box, distance + cortex_mm, marrow_hu, tissues[1])

    def _slabs(
        self, box: Box, arrays: list[np.ndarray], wanted: np.ndarray
    ) -> Iterator[tuple[tuple, list[np.ndarray]]]:
        """For the canvas planes between each two coarse ones along x that `wanted` touches: their index into the canvas
        and the arrays, linearly interpolated there, limited to the y and z that are touched there."""
        used = np.flatnonzero(wanted.any(axis=(1, 2)))
        if not len(used):
            return
        first, last = max(int(used[0]) - 1, 0), min(int(used[-1]) + 2, len(wanted))
        arrays = [np.ascontiguousarray(a[first:last], dtype=np.float32) for a in arrays]
        ranges = [_touched(np.any(wanted[first:last], axis=other)) for other in (2, 1)]
        fx, start = int(self.factor[0]), (box[0].start + first) * int(self.factor[0])
        nx = last - first
        at = np.clip((np.arange(min(nx * fx, self.canvas.grid.shape[0] - start)) + 0.5) / fx - 0.5, 0, nx - 1)
        below = np.minimum(at.astype(int), max(nx - 2, 0))
        weights = (at - below).astype(np.float32)[:, None, None]
        ends = np.searchsorted(below, np.arange(nx + 1))
        for lower, (i, j) in enumerate(pairwise(ends.tolist())):
            pair = slice(lower, lower + 2)
            part = [slice(min(low[pair]), max(high[pair])) for low, high in ranges]
            if i == j or part[0].stop <= part[0].start:
                continue
            where, size = [], []
            for k in (1, 2):
                origin = (box[k].start + part[k - 1].start) * int(self.factor[k])
                full = (part[k - 1].stop - part[k - 1].start) * int(self.factor[k])
                size.append(slice(min(full, self.canvas.grid.shape[k] - origin)))
                where.append(slice(origin, origin + size[-1].stop))
            planes = [[self._refined(plane, tuple(size)) for plane in array[(pair, *part)]] for array in arrays]
            yield (slice(start + i, start + j), *where), [_between(some, weights[i:j]) for some in planes]

    def _refined(self, plane: np.ndarray, size: tuple[slice, ...]) -> np.ndarray:
        """A coarse plane (y, z) on the canvas' y and z, as much of it as lies there."""
        fy, fz = int(self.factor[1]), int(self.factor[2])
        if fy * fz > 1:
            plane = cv2.resize(plane, (plane.shape[1] * fz, plane.shape[0] * fy), interpolation=cv2.INTER_LINEAR)
        return plane[size]


def _between(planes: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """One or two planes (y, z), `weights` (n, 1, 1) of the second one -> (n, y, z), a new array."""
    if len(planes) == 1:
        return np.repeat(planes[0][None], len(weights), axis=0)
    slab = weights * (planes[1] - planes[0])
    slab += planes[0]
    return slab


def _touched(wanted: np.ndarray) -> tuple[list[int], list[int]]:
    """`wanted` (n, length) -> first and end (n,) of what each row touches, with one to spare; `length` and 0 where it
    touches nothing, so that the least and the largest of several hold for all."""
    some, length = wanted.any(axis=1), wanted.shape[1]
    first = np.where(some, np.maximum(wanted.argmax(axis=1) - 1, 0), length)
    end = np.where(some, np.minimum(length - wanted[:, ::-1].argmax(axis=1) + 1, length), 0)
    return first.tolist(), end.tolist()
