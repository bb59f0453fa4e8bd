"""An elongated part of the neck (muscle, vessel, airway) as ellipses in axial sections, joined along the levels."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.interpolate import PchipInterpolator

from common.phantom.painting.surroundings.coarse_grid import Box
from common.phantom.painting.surroundings.neck import Neck

LITTLE = np.float32(1e-6)


@dataclass(frozen=True, eq=False)
class EllipticTube:
    """`sections` (n, 6): level, u, v, half long axis, half short axis (mm), direction of the long axis (degrees from
    the right towards anterior), by rising level; n >= 2. Ends are rounded off."""

    sections: np.ndarray

    @classmethod
    def of(cls, *sections: tuple[float, ...]) -> "EllipticTube":
        return cls(np.array(sections, float))

    def mirrored(self) -> "EllipticTube":
        """The same on the left."""
        return EllipticTube(self.sections * [1, -1, 1, 1, 1, -1])

    def varied(self, shift: tuple[float, float] = (0, 0), swell: float = 1.0) -> "EllipticTube":
        """Moved by mm in the plane and thicker or thinner."""
        return EllipticTube(self.sections * [1, 1, 1, swell, swell, 1] + [0, *shift, 0, 0, 0])

    def distance(self, neck: Neck, margin: float = 4.0) -> tuple[Box, np.ndarray] | None:
        """The box that holds it and the signed distance (mm) there; None where the scan doesn't reach."""
        level, u, v, a, *_ = self.sections.T
        reach = a.max() + margin
        box = neck.box(
            (level[0] - 0.25, level[-1] + 0.25),
            (u.min() - reach, u.max() + reach),
            (v.min() - reach, v.max() + reach),
        )
        return None if box is None else (box, self.distance_in(neck, box))

    def pieces(self, neck: Neck, margin: float = 4.0, planes: int = 14) -> Iterator[tuple[Box, np.ndarray]]:
        """As `distance`, in pieces of a few planes: less to compute where the bundle runs obliquely."""
        levels = neck.levels
        inside = np.flatnonzero((levels >= self.sections[0, 0] - 0.25) & (levels <= self.sections[-1, 0] + 0.25))
        course = self._at(levels[inside])
        for first in range(0, len(inside), planes):
            at = course[:, first : first + planes]
            part = slice(int(inside[first]), int(inside[first]) + at.shape[1])
            u, v, a, *_ = at
            reach = a.max() + margin
            box = neck.box_of_planes(part, (u.min() - reach, u.max() + reach), (v.min() - reach, v.max() + reach))
            if box is not None:
                yield box, self._distance(neck, box, at)

    def distance_in(self, neck: Neck, box: Box) -> np.ndarray:
        """Signed distance (mm) in a given box."""
        return self._distance(neck, box, self._at(neck.levels[box[2]]))

    def _distance(self, neck: Neck, box: Box, at: np.ndarray) -> np.ndarray:
        """As `distance_in`; `at`: the box's planes' part of what `_at` gives."""
        s = neck.levels[box[2]]
        cu, cv, a, b, angle = at
        beyond = np.maximum(np.maximum(self.sections[0, 0] - s, s - self.sections[-1, 0]), 0) * np.float32(17)
        c, d = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        return _ellipse(neck.uv[0][box], neck.uv[1][box], cu, cv, c, d, a, b, beyond) * np.float32(neck.size)

    @cached_property
    def _curve(self) -> PchipInterpolator:
        return PchipInterpolator(self.sections[:, 0], self.sections[:, 1:], axis=0)

    def _at(self, levels: np.ndarray) -> np.ndarray:
        """u, v, half axes, direction (5, n) at these levels; the ends' beyond them."""
        return self._curve(np.clip(levels, self.sections[0, 0], self.sections[-1, 0])).T.astype(np.float32)


def _ellipse(
    u: np.ndarray,
    v: np.ndarray,
    cu: np.ndarray,
    cv: np.ndarray,
    c: np.ndarray,
    d: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    beyond: np.ndarray,
) -> np.ndarray:
    """First-order distance to an ellipse, r (r - 1) / |gradient of r^2 / 2|; away from the ends along z."""
    du, dv = u - cu, v - cv
    p = du * (c / a) + dv * (d / a)
    q = dv * (c / b) - du * (d / b)
    p *= p
    q *= q
    r = np.sqrt(p + q)
    steep = np.sqrt(p * (1 / (a * a)) + q * (1 / (b * b)))
    flat = r * (r - np.float32(1)) / (steep + LITTLE)
    if beyond.any():
        flat = np.where(beyond > 0, np.sqrt(np.maximum(flat, 0) ** 2 + beyond**2), flat)
    return flat


def ellipse_distance(
    x: np.ndarray, y: np.ndarray, cx: np.ndarray, cy: np.ndarray, a: np.ndarray, b: np.ndarray
) -> np.ndarray:
    """First-order distance to upright ellipses; arguments broadcast, a and b are half axes along x and y."""
    one, zero = np.float32(1), np.zeros_like(a)
    return _ellipse(x, y, cx, cy, zero + one, zero, a, b, zero)


def pair(bundle: EllipticTube, rng: np.random.Generator, asymmetry: float) -> tuple[EllipticTube, EllipticTube]:
    """A right bundle and its left fellow, each a little different."""
    scale = 0.3 + asymmetry

    def one(b: EllipticTube) -> EllipticTube:
        return b.varied(tuple(rng.normal(0, 1.2, 2) * scale), float(np.exp(rng.normal(0, 0.07) * scale)))

    return one(bundle), one(bundle.mirrored())


def union(neck: Neck, bundles: list[EllipticTube]) -> tuple[Box, np.ndarray] | None:
    """Several bundles as one distance, in a box that holds them all."""
    parts = [part for bundle in bundles for part in bundle.pieces(neck)]
    if not parts:
        return None
    box = tuple(slice(min(p[0][k].start for p in parts), max(p[0][k].stop for p in parts)) for k in range(3))
    whole = np.full([s.stop - s.start for s in box], 20, np.float32)
    for part, distance in parts:
        view = whole[tuple(slice(p.start - b.start, p.stop - b.start) for p, b in zip(part, box))]
        np.minimum(view, distance, out=view)
    return box, whole
