"""The scene of one study on the scanner's grid: HU, labels, and where fractures cross; painted in layers."""

from dataclasses import dataclass

import numpy as np

from common.volume import Grid


@dataclass(eq=False)
class Canvas:
    """`grid`: axes along world R, A, S (affine diagonal and positive). Arrays (X, Y, Z):
    `hu` float32; `labels` uint8, competition ids (1..7 = C1..C7, 8.. = T1..); `crossing` uint8, the level id
    where a fracture crosses its bone, else 0. `tissues`: uint8 codes (common.phantom.tissues) of what was painted
    last over more than half of a voxel; None (the default) where nobody asks for them."""

    grid: Grid
    hu: np.ndarray
    labels: np.ndarray
    crossing: np.ndarray
    tissues: np.ndarray | None = None

    @classmethod
    def filled(cls, grid: Grid, hu: float = -1000.0) -> "Canvas":
        return cls(
            grid,
            np.full(grid.shape, hu, np.float32),
            np.zeros(grid.shape, np.uint8),
            np.zeros(grid.shape, np.uint8),
        )

    def window(self, low: np.ndarray, high: np.ndarray) -> tuple[slice, ...] | None:
        """Slices of the voxels between world corners `low` and `high` (3,) mm; None when outside of the grid."""
        start = np.floor(self.grid.to_index(np.asarray(low))).astype(int)
        stop = np.ceil(self.grid.to_index(np.asarray(high))).astype(int) + 1
        start, stop = np.clip(start, 0, self.grid.shape), np.clip(stop, 0, self.grid.shape)
        if (stop <= start).any():
            return None
        return tuple(slice(int(a), int(b)) for a, b in zip(start, stop))

    def points(self, window: tuple[slice, ...]) -> np.ndarray:
        """World RAS mm (x, y, z, 3) float32 of the voxel centres in a window, which may have steps."""
        lines = self.lines(window)
        points = np.empty((*map(len, lines), 3), np.float32)
        for k, line in enumerate(np.ix_(*lines)):
            points[..., k] = line
        return points

    def lines(self, window: tuple[slice, ...]) -> list[np.ndarray]:
        """World R, A and S of a window's voxel centres along each axis, float32 mm."""
        origin, spacing = self.grid.affine[:3, 3], np.diag(self.grid.affine)[:3]
        return [
            (origin[k] + spacing[k] * np.arange(s.start, s.stop, s.step)).astype(np.float32)
            for k, s in enumerate(window)
        ]

    def cover(self, distance: np.ndarray, edge_mm: float | None = None) -> np.ndarray:
        """Signed distance -> the part (0..1) of each voxel that lies inside; linear over `edge_mm`, a voxel's
        mean width by default (partial volume)."""
        edge = float(np.cbrt(np.prod(self.grid.spacing))) if edge_mm is None else edge_mm
        return np.clip(0.5 - distance / edge, 0, 1)

    def paint(
        self,
        window: tuple[slice, ...],
        cover: np.ndarray,
        hu: np.ndarray | float,
        tissue: np.ndarray | int | None = None,
    ) -> None:
        """Lays a tissue over what is there: `cover` (0..1) of each voxel in the window becomes `hu`."""
        self.hu[window] += cover * (hu - self.hu[window])
        self.note(window, cover, tissue)

    def note(self, window: tuple, cover: np.ndarray, tissue: np.ndarray | int | None) -> None:
        """Writes down the code(s) of what was painted, where `tissues` are asked for and the painter named any."""
        if self.tissues is not None and tissue is not None:
            self.tissues[window] = np.where(cover > 0.5, tissue, self.tissues[window])
