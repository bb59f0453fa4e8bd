"""Directions in a vertebra's frame."""

import numpy as np
from scipy.spatial.transform import Rotation

from common.phantom.fractures.plan import FracturePlan

SIGN = {"left": -1, "right": 1}
"""Of x, on each side."""


def vector(x: float, y: float, z: float) -> np.ndarray:
    return np.array([x, y, z], float)


def unit(vector: np.ndarray | list[float]) -> np.ndarray:
    vector = np.asarray(vector, float)
    return vector / np.linalg.norm(vector)


def lean(vector: np.ndarray | list[float], rng: np.random.Generator, degrees: float) -> np.ndarray:
    """The vector as a unit, tilted by up to `degrees` to a random side."""
    direction = unit(vector)
    across = unit(np.cross(direction, rng.normal(size=3)))
    return Rotation.from_rotvec(across * np.radians(rng.uniform(0, degrees))).apply(direction)


def sides_of(plan: FracturePlan) -> list[tuple[str, int]]:
    """Names of the plan's sides with the sign of x there."""
    names = ("left", "right") if plan.side == "both" else (plan.side,)
    return [(name, SIGN[name]) for name in names]
