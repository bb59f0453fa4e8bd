"""A bone's distance with a fracture in it."""

from dataclasses import dataclass, replace

import numpy as np

from common.phantom.canvas import Distance
from common.phantom.column import Bone
from common.phantom.fracture_plan import FracturePlan
from common.phantom.fractures.fragment import Damage, Fragment
from common.phantom.fractures.sites import damage_of

CROSSING_MM = 1.5
_EDGE_MM = 0.35
_STEEPNESS = 6.0
_DEEP_MM = 2.5
_NOWHERE = -1e3


def wall(inward: np.ndarray) -> np.ndarray:
    """Depth (n,) mm of a point in the bone measured from a fracture surface -> signed distance. At the surface
    it is a distance, for the sake of partial volume; deeper in it falls quickly, so that a fresh break, other
    than the bone's own surface, grows no cortex; from 2.5 mm on it is out of play."""
    steep = -_EDGE_MM - _STEEPNESS * (inward - _EDGE_MM)
    return np.where(inward < _EDGE_MM, -inward, np.where(inward < _DEEP_MM, steep, _NOWHERE)).astype(np.float32)


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
            margin = span + _DEEP_MM + self.width_mm
            near = np.flatnonzero(whole < span + 3)
            near = near[fragment.may_lie_within(points[near], margin)]
            if near.size == 0:
                continue
            here = points[near]
            inward = -fragment.depth(here) - _half_gap(fragment, here, self.width_mm) + fragment.hold(here)
            rest[near] = np.maximum(rest[near], wall(inward))
            pieces[near] = np.minimum(pieces[near], self._moved(fragment, here, whole[near]))
        return np.minimum(rest, pieces).reshape(shape)

    def _squeezed(self, points: np.ndarray) -> np.ndarray:
        squeeze = self.damage.squeeze
        return np.asarray(self.intact(points if squeeze is None else squeeze.undo(points)))

    def _moved(self, fragment: Fragment, points: np.ndarray, whole: np.ndarray) -> np.ndarray:
        """Signed distance (n,) to the fragment where it now lies."""
        before, distance = points, whole
        if not fragment.motion.still:
            before = fragment.motion.undo(points)
        depth = fragment.depth(before)
        inward = depth - _half_gap(fragment, before, self.width_mm) + fragment.hold(before)
        edge = wall(inward)
        if not fragment.motion.still:
            distance = np.full(len(points), np.inf, np.float32)
            inside = np.flatnonzero(edge < 3)
            if inside.size:
                distance[inside] = self._squeezed(before[inside])
        return np.maximum(distance, edge)


@dataclass(frozen=True, eq=False)
class CrossingDistance:
    """Local points (..., 3) -> mm, negative within 1.5 mm of the fracture's surfaces, as they were and as they
    moved, inside of the bone or up to 1 mm from it."""

    broken: BrokenDistance

    def __call__(self, points: np.ndarray) -> np.ndarray:
        shape = np.shape(points)[:-1]
        points = np.asarray(points, np.float32).reshape(-1, 3)
        damage, reach = self.broken.damage, CROSSING_MM + self.broken.width_mm / 2
        result = np.full(len(points), 10.0, np.float32)
        near = np.flatnonzero(
            self.broken._squeezed(points) < 1.0 + max([0, *(f.motion.span for f in damage.fragments)])
        )
        here = points[near]
        closest = np.full(len(near), 10.0, np.float32)
        for fragment in damage.fragments:
            for place in (here, fragment.motion.undo(here)):
                inside_bone = self.broken._squeezed(place) - 1.0
                apart = np.abs(fragment.depth(place)) + fragment.hold(place) - reach
                closest = np.minimum(closest, np.maximum(apart, inside_bone))
        if damage.impaction is not None:
            apart = np.abs(damage.impaction.distance(here)) + damage.impaction.hold(here) - CROSSING_MM
            closest = np.minimum(closest, np.maximum(apart, self.broken._squeezed(here)))
        result[near] = np.minimum(result[near], closest)
        return result.reshape(shape)


def fracture_bone(bone: Bone, plan: FracturePlan) -> tuple[Bone, Distance]:
    """The bone broken as planned, and where the fracture crosses it: a function of local points, negative there.
    Landmarks stay those of the intact bone. Raises ValueError when plan and bone are of different levels."""
    if plan.level != bone.level:
        raise ValueError(f"a fracture planned for {plan.level} can't be put into {bone.level}")
    broken = BrokenDistance(bone.distance, damage_of(bone, plan), plan.width_mm)
    margin = np.array([[-1.0], [1.0]]) * (0.6 * broken.damage.span)
    return replace(bone, distance=broken, bounds=bone.bounds + margin), CrossingDistance(broken)


def fracture_bone_all(bone: Bone, plans: list[FracturePlan]) -> tuple[Bone, Distance]:
    """As `fracture_bone` for all fractures of one level; the crossing is that of any of them."""
    crossings = []
    for plan in plans:
        bone, crossing = fracture_bone(bone, plan)
        crossings.append(crossing)
    return bone, lambda points: np.min([crossing(points) for crossing in crossings], axis=0)
