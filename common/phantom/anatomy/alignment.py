"""Where each vertebra's frame stands in the world, and where the planes of the joints between them lie."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.spatial.transform import Rotation

from common.phantom.anatomy.dimensions import COLUMN_LEVELS, dimensions
from common.phantom.anatomy.person import Person

PIVOT_Y = -9.0
"""Neighbours turn against each other about a point this far behind the bodies' centres, so that discs open
and close in front while the facet joints keep their gap."""
JOINT_GAP_MM = 1.6
"""Bone to bone across a facet joint; cartilage and fluid on CT."""
DENS_Y = -0.5
"""How far the dens' axis stands before (+) the centre of C2's body."""
FACET_PLACE = {
    "C3": (-13.0, 0.5),
    "C4": (-13.0, 1.0),
    "C5": (-13.0, 1.0),
    "C6": (-13.5, 1.0),
    "C7": (-14.5, 0.5),
    "T1": (-15.5, 0.5),
    "T2": (-17.0, 0.0),
    "T3": (-18.0, 0.0),
}
"""Centre of the joint with the vertebra above, y and height over the disc's middle, mm."""


@dataclass(frozen=True, eq=False)
class JointPlane:
    """Middle plane of a joint in the frame of one of its two bones: `normal` points up, out of the lower bone."""

    point: np.ndarray
    normal: np.ndarray


def poses(person: Person) -> dict[str, np.ndarray]:
    """Level -> (4, 4), rigid, local mm -> world RAS mm, C1 to T3; C4's centre is the world's origin."""
    turns = _turns(person)
    placed = {"C4": np.zeros(3)}
    for upper, lower in (("C3", "C4"), ("C2", "C3")):
        placed[upper] = placed[lower] + _step(person, upper, turns[upper], turns[lower])
    for upper, lower in pairwise(COLUMN_LEVELS[3:]):
        placed[lower] = placed[upper] - _step(person, upper, turns[upper], turns[lower])
    size = person.size
    placed["C1"] = placed["C2"] + turns["C2"] @ np.array([0, DENS_Y * size, dimensions("C1", person).spacing])
    result = {}
    for level in COLUMN_LEVELS:
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = turns[level], placed[level]
        result[level] = pose
    return result


def joint_planes(level: str, person: Person) -> dict[str, JointPlane]:
    """The joints of one vertebra in its own frame: superior_left, superior_right, inferior_left, inferior_right.

    Both bones of a joint are cut by the same plane, so they never meet, however the neck is bent.
    C1 has no plane above it (the condyles are the skull's), T3 none below.
    """
    frames = poses(person)
    place = COLUMN_LEVELS.index(level)
    planes = {}
    for side, sign in (("left", -1), ("right", 1)):
        if place > 0:
            planes[f"superior_{side}"] = _plane(person, COLUMN_LEVELS[place - 1], level, sign, frames, level)
        if level != COLUMN_LEVELS[-1]:
            planes[f"inferior_{side}"] = _plane(person, level, COLUMN_LEVELS[place + 1], sign, frames, level)
    return planes


def _turns(person: Person) -> dict[str, np.ndarray]:
    rng = person.stream("posture")
    steps = len(COLUMN_LEVELS) - 3
    lean, turn, bend = {}, {}, {}
    middle = 11 + 0.7 * person.flexion + rng.normal(0, 2)
    for k, level in enumerate(COLUMN_LEVELS[1:]):
        part = k / steps  # 0 at C2, 5/7 at C7, 1 at T2
        lean[level] = middle + person.lordosis * (min(k, 5) / 5 - 0.5) + rng.normal(0, 0.7)
        turn[level] = person.rotation / 2 * (1 - min(part, 1)) + rng.normal(0, 0.4)
        bend[level] = person.lateral_bend * (0.5 - part) + rng.normal(0, 0.4)
    for k, level in enumerate(("T1", "T2", "T3")):
        lean[level] = lean["C7"] + (1.5, -1.0, -4.0)[k]
    lean["C1"] = lean["C2"] - 5 + 0.25 * person.flexion + rng.normal(0, 2)
    turn["C1"] = person.rotation
    bend["C1"] = bend["C2"] + rng.normal(0, 0.7)
    return {
        level: Rotation.from_euler("ZYX", [turn[level], bend[level], -lean[level]], degrees=True).as_matrix()
        for level in COLUMN_LEVELS
    }


def disc_height(upper: str, person: Person) -> float:
    """mm between the endplates' rims of a vertebra (C2 to T2) and of the next below."""
    lower = COLUMN_LEVELS[COLUMN_LEVELS.index(upper) + 1]
    bodies = (dimensions(upper, person).height + dimensions(lower, person).height) / 2
    return max(dimensions(upper, person).spacing - bodies, 1.2)


def disc_middles(upper: str, person: Person) -> tuple[float, float]:
    """How far the disc's middle lies below the upper body's centre and above the lower one's, mm."""
    lower = COLUMN_LEVELS[COLUMN_LEVELS.index(upper) + 1]
    half = disc_height(upper, person) / 2
    return dimensions(upper, person).height / 2 + half, dimensions(lower, person).height / 2 + half


def _step(person: Person, upper: str, upper_turn: np.ndarray, lower_turn: np.ndarray) -> np.ndarray:
    below, above = disc_middles(upper, person)
    pivot = PIVOT_Y * person.size
    return lower_turn @ np.array([0, pivot, above]) + upper_turn @ np.array([0, -pivot, below])


def _plane(person: Person, upper: str, lower: str, sign: int, frames: dict[str, np.ndarray], frame: str) -> JointPlane:
    points, normals = [], []
    for level in (upper, lower):
        local_point, local_normal = _nominal(person, upper, lower, level, sign)
        points.append(frames[level][:3, :3] @ local_point + frames[level][:3, 3])
        normals.append(frames[level][:3, :3] @ local_normal)
    point, normal = np.mean(points, axis=0), np.mean(normals, axis=0)
    back = frames[frame][:3, :3].T
    return JointPlane(back @ (point - frames[frame][:3, 3]), back @ (normal / np.linalg.norm(normal)))


def _nominal(person: Person, upper: str, lower: str, level: str, sign: int) -> tuple[np.ndarray, np.ndarray]:
    """Point and normal of a joint's middle plane in the frame of `level`, one of its two bones."""
    size = person.size
    angle = np.radians(dimensions(lower, person).facet_angle)
    if upper == "C1":
        down = 10.5 * size
        normal = np.array([sign * np.sin(angle), -0.05, np.cos(angle)])
        if level == "C1":
            return np.array([sign * 16.0 * size, -DENS_Y * size, -down]), normal
        return np.array([sign * 16.0 * size, 0, dimensions("C1", person).spacing - down]), normal
    normal = np.array([0.0, -np.sin(angle), np.cos(angle)])
    x = dimensions(lower, person).pillar_x
    y, z = FACET_PLACE[lower]
    below, above = disc_middles(upper, person)
    return np.array([sign * x, y * size, z * size + (above if level == lower else -below)]), normal
