"""A bone's distance with a fracture in it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from common.phantom.anatomy.column import Bone
from common.phantom.anatomy.signed_distance import Distance
from common.phantom.fractures.fragment import Damage, Fragment, at_rest
from common.phantom.fractures.plan import FracturePlan
from common.phantom.fractures.sites import damage_of

CROSSING_MM = 1.5
_EDGE_MM = 0.7
"""A usual voxel, over which a painter blends bone into what surrounds it."""
_SPONGY_SHARE = 0.22
"""How much of spongy bone's HU stands out of soft tissue, as a part of what compact bone's does."""
_NOWHERE = -1e3


def wall(inward: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Distance (n,) mm of points from a fresh fracture surface, to be cut out of the bone's own.

    `inward` (n,): depth in the bone, measured from the fracture surface; `whole` (n,): the intact bone's signed
    distance. Through compact bone it is -inward. Painters take what is near a surface for cortex; in spongy bone,
    which grows none at a fresh break, the voxels at the edge get the distance at which compact bone's partial
    volume looks as spongy bone's should. Half a voxel further in it is out of play.
    """
    lost = np.clip(0.5 - inward / _EDGE_MM, 0, 1)
    spongy = np.clip(-(whole + 0.9) / 0.8, 0, 1)
    in_spongy = np.maximum(_EDGE_MM * (0.5 - _SPONGY_SHARE * (1 - lost)), -inward)
    distance = -inward + spongy * (in_spongy + inward)
    return np.where(lost > 0, distance, _NOWHERE).astype(np.float32)


def _half_gap(fragment: Fragment, points: np.ndarray, width_mm: float) -> np.ndarray:
    """Half the gap's width (n,) mm: as planned at the surface's centre, within 30 % of it elsewhere."""
    surface = fragment.surfaces[0]
    ripple = np.sin((points - surface.centre) @ (surface.wave_vectors[2] * 0.7 + surface.wave_vectors[3]))
    return width_mm / 2 * (1 + 0.3 * ripple)


@dataclass(frozen=True, eq=False)
class BrokenDistance:
    """Signed distance of a bone with `damage`: call it with local points (..., 3) mm -> (...) mm. Away from the
    fracture and its fragments it returns what `intact` returns, to the bit."""

    intact: Distance
    damage: Damage
    width_mm: float

    def __call__(self, points: np.ndarray) -> np.ndarray:
        shape = np.shape(points)[:-1]
        points = np.asarray(points, np.float32).reshape(-1, 3)
        whole = self._squeezed(points)
        rest, pieces = whole, np.full_like(whole, np.inf)
        if self.damage.fragments:
            rest = whole.copy()
        for fragment in self.damage.fragments:
            span = fragment.motion.span
            margin = span + 2 + self.width_mm
            near = np.flatnonzero(whole < span + 3)
            near = near[fragment.may_lie_within(points[near], margin)]
            if near.size == 0:
                continue
            here = points[near]
            inward = fragment.hold(here) - fragment.depth(here) - _half_gap(fragment, here, self.width_mm)
            rest[near] = np.maximum(rest[near], wall(inward, whole[near]))
            pieces[near] = np.minimum(pieces[near], self._moved(fragment, here, whole[near]))
        return np.minimum(rest, pieces).reshape(shape)

    def _squeezed(self, points: np.ndarray) -> np.ndarray:
        squeeze = self.damage.squeeze
        return np.asarray(self.intact(points if squeeze is None else squeeze.undo(points)))

    def _moved(self, fragment: Fragment, points: np.ndarray, whole: np.ndarray) -> np.ndarray:
        """Signed distance (n,) to the fragment where it now lies."""
        if fragment.motion.still:
            return np.maximum(whole, wall(self._inward(fragment, points), whole))
        before = fragment.motion.undo(points)
        inward = self._inward(fragment, before)
        distance = np.full(len(points), np.inf, np.float32)
        inside = np.flatnonzero(inward > -3)
        if inside.size:
            own = self._squeezed(before[inside])
            distance[inside] = np.maximum(own, wall(inward[inside], own))
        return distance

    def _inward(self, fragment: Fragment, points: np.ndarray) -> np.ndarray:
        """Depth (n,) mm in the unmoved fragment, measured from its broken faces."""
        return fragment.depth(points) - _half_gap(fragment, points, self.width_mm) + fragment.hold(points)


@dataclass(frozen=True, eq=False)
class CrossingDistance:
    """Local points (..., 3) -> mm, negative within 1.5 mm of the fracture's surfaces, as they were and as they
    moved, inside of the bone or up to 0.3 mm from it; 10 elsewhere."""

    broken: BrokenDistance

    def __call__(self, points: np.ndarray) -> np.ndarray:
        shape = np.shape(points)[:-1]
        points = np.asarray(points, np.float32).reshape(-1, 3)
        result = np.full(len(points), 10.0, np.float32)
        for places, fragment, reach, outside_mm in self._cuts(points):
            self._cross(result, places, fragment, reach, outside_mm)
        return result.reshape(shape)

    def at_least(self, points: np.ndarray) -> np.ndarray:
        """What the distance at local points (n, 3) isn't below, as (n,) mm; it grows with the way to the crossing."""
        bound = np.full(len(points), np.inf, np.float32)
        for places, fragment, reach, outside_mm in self._cuts(np.asarray(points, np.float32)):
            apart = fragment.apart_from_the_cut(places, reach)
            inside = self.broken._squeezed(places) - outside_mm
            np.minimum(bound, np.maximum(apart, inside), out=bound)
        return bound

    def _cuts(self, points: np.ndarray) -> Iterator[tuple[np.ndarray, Fragment, float, float]]:
        """Each cut, where `points` (n, 3) lay when it was made, how far it reaches, and how far outside of the bone."""
        damage, reach = self.broken.damage, CROSSING_MM + self.broken.width_mm / 2
        for fragment in damage.fragments:
            yield points, fragment, reach, 0.3
            if not fragment.motion.still:
                yield fragment.motion.undo(points), fragment, reach, 0.3
        if damage.impaction is not None:
            yield points, Fragment((damage.impaction,), at_rest(damage.impaction.centre)), CROSSING_MM, 0.0

    def _cross(
        self, result: np.ndarray, places: np.ndarray, fragment: Fragment, reach: float, outside_mm: float
    ) -> None:
        """Lowers `result` (n,) where `places` (n, 3) lie within `reach` of the fragment's cut and in the bone. The
        bone's own distance takes longest, so that it is asked for few."""
        close = np.flatnonzero(fragment.apart_from_the_cut(places, reach) < 0)
        apart = np.abs(fragment.depth(places[close])) + fragment.hold(places[close]) - reach
        close, apart = close[apart < 0], apart[apart < 0]
        inside = self.broken._squeezed(places[close]) - outside_mm
        crossed = np.maximum(apart, inside) < 0
        result[close[crossed]] = np.minimum(result[close], np.maximum(apart, inside))[crossed]


def fracture_bone(bone: Bone, plan: FracturePlan) -> tuple[Bone, CrossingDistance]:
    """The bone broken as planned, and where the fracture crosses it: a function of local points, negative there.
    Landmarks stay those of the intact bone. Raises ValueError when plan and bone are of different levels."""
    if plan.level != bone.level:
        raise ValueError(f"a fracture planned for {plan.level} can't be put into {bone.level}")
    broken = BrokenDistance(bone.distance, damage_of(bone, plan), plan.width_mm)
    span = broken.damage.span
    margin = np.array([[-1.0], [1.0]]) * (0.6 * span)
    whole = replace(bone, distance=broken, bounds=bone.bounds + margin, moved_mm=bone.moved_mm + span)
    return whole, CrossingDistance(broken)
