"""One vertebra of a subject as a Bone: the level's regular solid, made personal."""

import numpy as np

from common.phantom.anatomy.alignment import DENS_Y, JointPlane, disc_height, joint_planes
from common.phantom.anatomy.c1 import atlas
from common.phantom.anatomy.c2 import axis
from common.phantom.anatomy.column import Bone
from common.phantom.anatomy.dimensions import COLUMN_LEVELS, Dimensions, dimensions
from common.phantom.anatomy.person import Person
from common.phantom.anatomy.shape_variation import Relief, make_relief
from common.phantom.anatomy.signed_distance import Distance, components
from common.phantom.anatomy.subaxial import Solid, subaxial
from common.phantom.anatomy.thoracic import thoracic

BLOCK = 16384
"""Points worked on at a time, so that what lies between steps stays in the processor's cache."""
MARGIN_MM = 3.0


def make_bone(level: str, person: Person) -> Bone:
    """The subject's vertebra `level` ("C1".."T3") in its own frame; the same for the same person."""
    d = dimensions(level, person)
    joints = joint_planes(level, person)
    if level == "T3":
        joints |= _free_end(joints, d)
    spurs = _spurs(level, person)
    if level == "C1":
        solid, points = atlas(d, joints, person.size)
    elif level == "C2":
        solid, points = axis(d, joints, person.size, spurs)
    else:
        builder = subaxial if level[0] == "C" else thoracic
        above = disc_height(COLUMN_LEVELS[COLUMN_LEVELS.index(level) - 1], person)
        solid, points = builder(level, d, joints, person.size, above, spurs)
    relief = make_relief(level, person)
    landmarks = {name: _personal(point, relief) for name, point in _landmarks(level, d, joints, points).items()}
    return Bone(
        level=level,
        distance=_distance(solid, relief),
        landmarks=landmarks,
        size={
            "body_width": d.width if level != "C1" else 0.0,
            "body_depth": d.depth if level != "C1" else 0.0,
            "body_height": d.height if level != "C1" else 0.0,
            "canal_width": d.canal_width,
            "canal_depth": d.canal_depth,
        },
        bounds=_bounds(level, d, joints, landmarks, person.size),
        cortex_mm=float(np.clip(1.05 * person.size - 0.004 * max(person.age - 50, 0), 0.7, 1.3)),
    )


def _distance(solid: Solid, relief: Relief) -> Distance:
    def distance(points: np.ndarray) -> np.ndarray:
        q = components(points)
        result = np.empty(q.shape[1], np.float32)
        for start in range(0, q.shape[1], BLOCK):
            block = np.ascontiguousarray(q[:, start : start + BLOCK])
            result[start : start + BLOCK] = solid(relief.warp(block), block) - relief.bumps(block)
        return result.reshape(np.shape(points)[:-1])

    return distance


def _spurs(level: str, person: Person) -> float:
    """Size of the osteophytes, mm: most where discs wear most."""
    share = {"C2": 0.2, "C3": 0.4, "C4": 0.7, "C5": 1.0, "C6": 1.1, "C7": 0.7}.get(level, 0.4)
    worn = max(person.degeneration - 0.25, 0) / 0.75
    return float(2.4 * share * worn * person.stream(f"spurs {level}").uniform(0.2, 1.2))


def _free_end(joints: dict[str, JointPlane], d: Dimensions) -> dict[str, JointPlane]:
    """Planes below T3, whose lower neighbour isn't there: those above it, one spacing further down."""
    return {
        f"inferior_{side}": JointPlane(
            joints[f"superior_{side}"].point - [0, 0, d.spacing], joints[f"superior_{side}"].normal
        )
        for side in ("left", "right")
    }


def _landmarks(
    level: str, d: Dimensions, joints: dict[str, JointPlane], right: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    marks = {}
    for name, point in right.items():
        if abs(point[0]) < 1e-9:
            marks[name] = point
        else:
            marks[f"{name}_right"], marks[f"{name}_left"] = point, point * [-1, 1, 1]
    for name, joint in joints.items():
        marks[f"facet_{name}"] = joint.point
    if level != "C1":
        middle, front = d.height / 2, d.depth / 2
        marks |= {
            "body": np.zeros(3),
            "endplate_superior": np.array([0, 0, middle]),
            "endplate_inferior": np.array([0, 0, -middle]),
            "body_anterior_superior": np.array([0, front * 0.92, middle * 0.9]),
            "body_anterior_inferior": np.array([0, front * 0.92, -middle * 0.95]),
        }
    if level == "C2":
        marks["body_anterior_superior"] = np.array([0, front * 0.8, middle * 0.5])
        marks["endplate_superior"] = np.array([0, DENS_Y, middle * 0.8])
    return {name: np.asarray(point, np.float64) for name, point in marks.items()}


def _personal(point: np.ndarray, relief: Relief) -> np.ndarray:
    moved = relief.warp(point.astype(np.float32).reshape(3, 1))[:, 0]
    return 2 * point - moved.astype(np.float64)


def _bounds(
    level: str, d: Dimensions, joints: dict[str, JointPlane], marks: dict[str, np.ndarray], size: float
) -> np.ndarray:
    points = np.array(list(marks.values()))
    low, high = points.min(axis=0), points.max(axis=0)
    body = np.array([d.width, d.depth, d.height]) / 2
    low, high = np.minimum(low, -body), np.maximum(high, body)
    low[1] = min(low[1], d.spinous_y)
    grow = np.array([5.0, 5.0, 7.0]) * size + MARGIN_MM
    return np.stack([low - grow, high + grow])
