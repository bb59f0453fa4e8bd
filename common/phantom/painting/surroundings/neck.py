"""Neck coordinates: the neck as it were straight, so that soft tissue is written as axial sections by level."""

from functools import cached_property

import numpy as np
from scipy.interpolate import PchipInterpolator

from common.labels import LEVELS
from common.phantom.anatomy.column import Column
from common.phantom.anatomy.person import Person
from common.phantom.painting.surroundings.coarse_grid import Box, CoarseGrid
from common.phantom.painting.surroundings.texture import smooth_field
from common.volume import Vector

HEAD_STEP = 17.0
"""mm that a level counts above C1 in an average adult."""


class Neck:
    """Level numbers run along the column: 1 = C1's centre ... 7 = C7, 8 = T1 ... 10 = T3, 0 and below = head, a step
    of 17 mm each. In every axial plane u is mm to the right of the column's centre line and v mm anterior of it, for
    an average adult (divide by `size`), turned with the vertebra."""

    def __init__(self, coarse: CoarseGrid, column: Column, person: Person) -> None:
        self.coarse, self.person, self.size = coarse, person, person.size
        names = [name for name in (*LEVELS, "T1", "T2", "T3") if name in column.bones]
        centres = np.array([column.centre(name) for name in names])
        yaws = np.array([_yaw(column.bones[name].pose) for name in names])
        levels = np.array([_number(name) for name in names], float)
        head = column.bones["C1"].pose[:3, 2]
        above = centres[0] + head / max(head[2], 0.5) * np.array([[8], [4], [2], [1]]) * HEAD_STEP * person.size
        last = (centres[-1] - centres[-2]) / (levels[-1] - levels[-2])
        below = centres[-1] + last * np.array([[1], [3]])
        self._level = np.r_[levels[0] - np.array([8, 4, 2, 1]), levels, levels[-1] + np.array([1, 3])]
        self._centre = np.vstack([above, centres, below])
        self._yaw = np.r_[[yaws[0]] * 4, yaws, [yaws[-1]] * 2]
        self._by_height = PchipInterpolator(
            self._centre[::-1, 2], np.c_[self._centre, self._level, self._yaw][::-1], axis=0
        )
        self._by_level = PchipInterpolator(self._level, np.c_[self._centre, self._yaw], axis=0)

    def world(self, level: Vector, u: Vector, v: Vector) -> np.ndarray:
        """Neck coordinates (n,) each -> world RAS mm (n, 3)."""
        x, y, z, yaw = np.moveaxis(self._by_level(np.asarray(level, float)), -1, 0)
        u, v = np.asarray(u) * self.size, np.asarray(v) * self.size
        return np.stack([x + u * np.cos(yaw) - v * np.sin(yaw), y + u * np.sin(yaw) + v * np.cos(yaw), z], axis=-1)

    @cached_property
    def _sections(self) -> np.ndarray:
        z = np.clip(self.coarse.axes[2].ravel(), self._centre[-1, 2], self._centre[0, 2])
        return self._by_height(z).astype(np.float32)

    @cached_property
    def levels(self) -> np.ndarray:
        """(nz,) level number of each coarse plane."""
        return self._sections[:, 3]

    @cached_property
    def uv(self) -> tuple[np.ndarray, np.ndarray]:
        """u and v (nx, ny, nz) of every block, made organic by a slow random displacement of 1 to 2 mm."""
        x, y, _ = self.coarse.axes
        cx, cy, _, _, yaw = self._sections.T
        dx, dy = x - cx, y - cy
        c, s = np.cos(yaw), np.sin(yaw)
        rng = self.person.stream("neck shape")
        steps = 13.0 / self.coarse.step
        sway = 0.9 + 0.5 * self.person.asymmetry
        u, v = ((c * dx + s * dy) / self.size, (c * dy - s * dx) / self.size)
        shape = self.coarse.shape
        return u + sway * smooth_field(shape, steps, rng), v + sway * smooth_field(shape, steps, rng)

    def box(self, level: tuple[float, float], u: tuple[float, float], v: tuple[float, float]) -> Box | None:
        """The coarse box that holds this range of neck coordinates."""
        planes = np.flatnonzero((self.levels >= level[0]) & (self.levels <= level[1]))
        return self.box_of_planes(slice(int(planes[0]), int(planes[-1]) + 1), u, v) if len(planes) else None

    def box_of_planes(self, planes: slice, u: tuple[float, float], v: tuple[float, float]) -> Box | None:
        """The coarse box of exactly these planes that holds a range of u and v."""
        cx, cy, _, _, yaw = self._sections[planes].T
        c, s = self.size * np.cos(yaw), self.size * np.sin(yaw)
        xs = np.concatenate([cx + c * a - s * b for a in u for b in v])
        ys = np.concatenate([cy + s * a + c * b for a in u for b in v])
        z = self.coarse.axes[2].ravel()[planes]
        box = self.coarse.box([xs.min(), ys.min(), z.min()], [xs.max(), ys.max(), z.max()])
        return None if box is None else (box[0], box[1], planes)


def _number(name: str) -> int:
    return int(name[1:]) + (7 if name[0] == "T" else 0)


def _yaw(pose: np.ndarray) -> float:
    return float(np.arctan2(pose[1, 0], pose[0, 0]))
