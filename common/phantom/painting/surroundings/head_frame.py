"""The head's own frame, which follows C1: the skull and the jaw are written in it."""

from dataclasses import dataclass

import numpy as np

from common.phantom.anatomy.column import Column
from common.phantom.anatomy.person import Person
from common.phantom.painting.surroundings.coarse_grid import Box, CoarseGrid


@dataclass(frozen=True, eq=False)
class HeadFrame:
    """Axes right, anterior, up; origin at C1's; mm of an average adult. `turn` (3, 3): columns are the axes."""

    origin: np.ndarray
    turn: np.ndarray
    size: float

    @classmethod
    def of(cls, column: Column, person: Person) -> "HeadFrame":
        pose = column.bones["C1"].pose
        return cls(pose[:3, 3].copy(), pose[:3, :3].copy(), person.size)

    def world(self, local: np.ndarray) -> np.ndarray:
        """Head (..., 3) -> world RAS mm (..., 3)."""
        return np.asarray(local) * self.size @ self.turn.T + self.origin

    def local(self, world: np.ndarray) -> np.ndarray:
        """World RAS mm (..., 3) -> head (..., 3)."""
        return (np.asarray(world) - self.origin) @ self.turn / self.size

    def box(self, coarse: CoarseGrid, low: tuple[float, float, float], high: tuple[float, float, float]) -> Box | None:
        """The coarse box about a box of head coordinates."""
        corners = self.world(np.array(np.meshgrid(*zip(low, high), indexing="ij")).reshape(3, -1).T)
        return coarse.box(corners.min(axis=0), corners.max(axis=0))

    def points(self, coarse: CoarseGrid, box: Box) -> list[np.ndarray]:
        """Head x, y, z (box's shape each) of the blocks in a box."""
        x, y, z = (p - np.float32(o) for p, o in zip(coarse.points(box), self.origin))
        m = (self.turn / self.size).astype(np.float32)
        return [x * m[0, k] + y * m[1, k] + z * m[2, k] for k in range(3)]
