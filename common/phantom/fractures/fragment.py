"""A piece of a broken bone: the surfaces that cut it off, and how it has moved."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial.transform import Rotation

from common.phantom.fractures.surface import RoughSurface


@dataclass(frozen=True, eq=False)
class Motion:
    """`shift` (3,) mm and `turn` (3,), a rotation vector in radians about `pivot`; so the pivot moves by exactly
    `shift`. With `fade` = (r0, r1) mm the motion dies away between these distances from `hinge`: the broken
    ends of a ring spread, the rest of it stays."""

    pivot: np.ndarray
    shift: np.ndarray
    turn: np.ndarray
    hinge: np.ndarray | None = None
    fade: tuple[float, float] | None = None

    @cached_property
    def _rotation(self) -> np.ndarray:
        return Rotation.from_rotvec(self.turn).as_matrix().astype(np.float32)

    @property
    def still(self) -> bool:
        return not (np.any(self.shift) or np.any(self.turn))

    @property
    def span(self) -> float:
        """No point of a fragment of usual size (25 mm about the pivot) moves farther than this, mm."""
        return float(np.linalg.norm(self.shift) + 25 * np.linalg.norm(self.turn))

    def undo(self, points: np.ndarray) -> np.ndarray:
        """Where the bone now at `points` (n, 3) was before the fracture."""
        pivot, shift = self.pivot.astype(np.float32), self.shift.astype(np.float32)
        before = (points - (pivot + shift)) @ self._rotation + pivot
        if self.fade is None or self.hinge is None:
            return before
        start, stop = self.fade
        away = np.linalg.norm(points - self.hinge.astype(np.float32), axis=1)
        part = np.clip((stop - away) / (stop - start), 0, 1)
        part = part * part * (3 - 2 * part)
        return points + part[:, None] * (before - points)


def at_rest(pivot: np.ndarray) -> Motion:
    return Motion(np.asarray(pivot, float), np.zeros(3), np.zeros(3))


@dataclass(frozen=True, eq=False)
class Fragment:
    """What lies on the positive side of all of `surfaces`, moved; the first surface is the fracture's main one."""

    surfaces: tuple[RoughSurface, ...]
    motion: Motion

    def depth(self, points: np.ndarray) -> np.ndarray:
        """Signed distance (n,) mm to the fragment's cut, positive inside of the fragment."""
        depth = self.surfaces[0].distance(points)
        for surface in self.surfaces[1:]:
            depth = np.minimum(depth, surface.distance(points))
        return depth

    def may_lie_within(self, points: np.ndarray, margin: float) -> np.ndarray:
        """True (n,) for points that may be within `margin` mm of the fragment; quick."""
        near = np.ones(len(points), bool)
        for surface in self.surfaces:
            near &= surface.rough_plane(points) > -margin - surface.roughness
        return near

    def apart_from_the_cut(self, points: np.ndarray, reach: float) -> np.ndarray:
        """How far (n,) mm points at least are from where their depth is within `reach` mm of 0; below 0 they may be
        there. Quick."""
        apart = np.full(len(points), np.inf, np.float32)
        for surface in self.surfaces:
            away = np.abs(surface.rough_plane(points)) - (reach * surface.steepest + 2 * surface.roughness)
            np.minimum(apart, away, out=apart)
        return apart

    def hold(self, points: np.ndarray) -> np.ndarray:
        return self.surfaces[0].hold(points)


@dataclass(frozen=True, eq=False)
class Squeeze:
    """Loss of height of a vertebral body: its upper endplate sinks by `loss` mm in front (`hinge_share` of it
    behind), unevenly. `width`, `depth`, `height`: of the body about the origin, mm."""

    loss: float
    hinge_share: float
    width: float
    depth: float
    height: float
    uneven: RoughSurface

    def undo(self, points: np.ndarray) -> np.ndarray:
        """Where the bone now at `points` (n, 3) was before."""
        x, y, z = points.T
        half = self.height / 2
        inside = (np.abs(x) < self.width / 2 + 4) & (np.abs(y) < self.depth / 2 + 5) & (np.abs(z) < half + 8)
        index = np.flatnonzero(inside)
        if index.size == 0:
            return points
        x, y, z = points[index].T
        ramp = self.hinge_share + (1 - self.hinge_share) * np.clip(y / self.depth + 0.5, 0, 1) ** 1.3
        edge = np.clip((self.width / 2 + 4 - np.abs(x)) / 4, 0, 1) * np.clip((self.depth / 2 + 5 - np.abs(y)) / 5, 0, 1)
        flat = points[index].copy()
        flat[:, 2] = self.uneven.centre[2]
        bumps = 1 - np.clip(self.uneven.distance(flat) / max(self.uneven.roughness, 1e-3), -1, 1) * 0.35
        loss = self.loss * ramp * edge * bumps
        rise = np.clip((z + half) / (self.height - loss), 0, 1) * np.clip((half + 8 - z) / 6, 0, 1)
        moved = points.copy()
        moved[index, 2] += (loss * rise).astype(points.dtype)
        return moved


@dataclass(frozen=True, eq=False)
class Damage:
    """All that one fracture does to a bone. `impaction`: the surface along which spongy bone is crushed dense."""

    fragments: tuple[Fragment, ...]
    squeeze: Squeeze | None = None
    impaction: RoughSurface | None = None

    @property
    def span(self) -> float:
        """No fragment moves farther than this, mm."""
        return max([0.0, *(fragment.motion.span for fragment in self.fragments)])
