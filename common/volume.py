"""A voxel array that travels with its affine, and the grid such an array lies on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

Vector = np.ndarray | Sequence[float]
"""Three numbers."""


def memory_order(array: np.ndarray) -> np.ndarray:
    """The axes of an array, the outermost in memory first: whoever goes through it in this order reads it as it lies.
    DICOM and NIfTI lie slice by slice, numpy's own arrays the other way round."""
    return np.argsort([-abs(step) for step in array.strides], kind="stable")


@dataclass(frozen=True, eq=False)
class Grid:
    """Where voxels lie: `shape` (3,) voxels; `affine` (4, 4), voxel index -> RAS mm."""

    shape: tuple[int, int, int]
    affine: np.ndarray

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise ValueError(f"affine must be a finite 4 x 4 matrix, got {affine!r}")
        if abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise ValueError(f"affine is singular: {affine.tolist()}")
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"shape must be three positive numbers, got {self.shape}")
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    @cached_property
    def spacing(self) -> np.ndarray:
        """(3,) mm between voxel centres along each array axis."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def centre(self) -> np.ndarray:
        """(3,) world RAS mm of the grid's middle."""
        return self.to_world((np.array(self.shape) - 1) / 2)

    def to_world(self, index: npt.ArrayLike) -> np.ndarray:
        """Voxel indices (..., 3) -> world RAS mm (..., 3)."""
        return np.asarray(index, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_index(self, world: npt.ArrayLike) -> np.ndarray:
        """World RAS mm (..., 3) -> fractional voxel indices (..., 3)."""
        inverse = np.linalg.inv(self.affine[:3, :3])
        return (np.asarray(world, dtype=np.float64) - self.affine[:3, 3]) @ inverse.T

    def matches(self, other: "Grid", tolerance_mm: float = 0.01) -> bool:
        """True when shapes agree and the outermost voxels lie within `tolerance_mm` of each other."""
        if self.shape != other.shape:
            return False
        return bool(np.abs(self.corners() - other.corners()).max() <= tolerance_mm)

    def corners(self) -> np.ndarray:
        """(8, 3) world RAS mm of the outermost voxel centres."""
        ends = [(0, n - 1) for n in self.shape]
        return self.to_world(np.array(np.meshgrid(*ends, indexing="ij")).reshape(3, -1).T)

    @classmethod
    def around(
        cls, centre: Vector, size_mm: Vector, spacing: float | Vector, axes: np.ndarray | None = None
    ) -> "Grid":
        """The grid of `spacing` mm, one or (3,), about world point `centre`, `size_mm` (3,) long, along the
        orthonormal columns of `axes` (3, 3), the world's own (R, A, S) by default."""
        spacing = np.broadcast_to(np.asarray(spacing, dtype=np.float64), 3)
        shape = np.maximum(np.round(np.asarray(size_mm) / spacing).astype(int), 1)
        affine = np.eye(4)
        affine[:3, :3] = (np.eye(3) if axes is None else np.asarray(axes)) * spacing
        affine[:3, 3] = np.asarray(centre) - affine[:3, :3] @ ((shape - 1) / 2)
        return cls(tuple(shape), affine)


@dataclass(frozen=True, eq=False)
class Volume:
    """`array` (X, Y, Z), HU of a CT or ids of a mask; `affine` (4, 4), voxel -> RAS mm;
    `notices`: what a reader repaired or thought worth saying, a sentence each."""

    array: np.ndarray
    affine: np.ndarray
    notices: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "affine", Grid(self.array.shape, self.affine).affine)

    @cached_property
    def grid(self) -> Grid:
        return Grid(self.array.shape, self.affine)

    @property
    def spacing(self) -> np.ndarray:
        """(3,) mm between voxel centres along each array axis."""
        return self.grid.spacing

    def with_array(self, array: np.ndarray) -> "Volume":
        """The same place in the world with other values; the shape must be the same."""
        if array.shape != self.array.shape:
            raise ValueError(f"array of shape {array.shape} doesn't fit the grid {self.array.shape}")
        return Volume(array, self.affine, self.notices)

    def crop(self, start: Vector, stop: Vector) -> "Volume":
        """The voxels start (3,) <= index < stop (3,), cut to the array's bounds; a view, no copy."""
        first = np.maximum(np.asarray(start, dtype=int), 0)
        end = np.minimum(np.asarray(stop, dtype=int), self.array.shape)
        if (end <= first).any():
            raise ValueError(f"crop {first.tolist()}..{end.tolist()} holds no voxel of {self.array.shape}")
        affine = self.affine.copy()
        affine[:3, 3] = self.grid.to_world(first)
        return Volume(self.array[tuple(map(slice, first, end))], affine, self.notices)
