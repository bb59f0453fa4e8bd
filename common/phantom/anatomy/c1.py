"""C1: a ring without a body: anterior arch, lateral masses, posterior arch, wide transverse processes."""

import numpy as np

from common.phantom.anatomy.alignment import JointPlane
from common.phantom.anatomy.dimensions import Dimensions
from common.phantom.anatomy.signed_distance import (
    beam,
    capsule,
    ellipsoid,
    ring,
    smooth_intersection,
    smooth_subtraction,
    smooth_union,
    squircle,
)
from common.phantom.anatomy.subaxial import Solid
from common.phantom.anatomy.vertebra_parts import by_side, mirror, over

CONVERGENCE = np.radians(22)
"""The lateral masses' long axes meet in front."""
UP = np.array([0.0, 0.0, 1.0])


def atlas(d: Dimensions, joints: dict[str, JointPlane], size: float) -> tuple[Solid, dict[str, np.ndarray]]:
    """Solid and right-sided landmarks of C1; arguments as in `subaxial`."""
    mass = np.array([16.8, -0.8, -1.0]) * size
    front = np.array([0, 10.3, 0]) * size
    half = d.lamina_height / 2
    rear = d.spinous_y + 2.5 * size
    path = (
        np.array([[19.0, -7, -0.5], [20.3, -12.0, -0.8], [16.8, -19.5, -1.8], [9.0, -26.6, -2.6], [0, 0, -3.0]]) * size
    )
    path[-1, 1] = rear
    back_centre = np.array([0, -8.5, -2.4]) * size
    back_half = 20.0 * size, back_centre[1] - rear
    tip = np.array([d.transverse_x - 2.5 * size, -4.0 * size, d.transverse_z])
    hole = np.array([27.3, -2.0, 0]) * size
    root = np.array([[[20.5, 3.0, -1.0], [27.5, 3.3, -1.5]], [[20.5, -7.0, -1.0], [28.0, -7.3, -1.5]]]) * size

    def lateral_mass(q: np.ndarray, raw: np.ndarray) -> np.ndarray:
        m, y, z = np.abs(q[0]), q[1], q[2]
        dx, dy = m - np.float32(mass[0]), y - np.float32(mass[1])
        cos, sin = np.float32(np.cos(CONVERGENCE)), np.float32(np.sin(CONVERGENCE))
        outline = squircle(cos * dx + sin * dy, cos * dy - sin * dx, 6.6 * size, 10.6 * size, 0.5)
        cup = 0.38 * np.clip(dx, -9, 7) + np.float32(0.030 / size) * np.minimum(dy * dy, 120)
        top = (z - np.float32(4.6 * size) - cup) * np.float32(0.88)
        bottom = by_side(raw, lambda side: over(raw, joints[f"inferior_{side}"]))
        return smooth_intersection(outline, np.maximum(top, bottom), 2.0)

    def solid(q: np.ndarray, raw: np.ndarray) -> np.ndarray:
        p = mirror(q).T
        y = p[:, 1]
        distance = ring(p, np.array([0, -3.0, 0]) * size, 17.0 * size, 13.3 * size, 5.2 * size, 2.6 * size)
        distance = smooth_intersection(distance, np.float32(1.5 * size) - y, 2.0)
        knob = ellipsoid(p, np.array([0, 11.6, -0.8]) * size, np.array([3.2, 2.4, 4.0]) * size)
        distance = smooth_union(distance, knob, 2.0)
        distance = smooth_union(distance, lateral_mass(q, raw), 2.5)
        behind = np.clip((back_centre[1] - y) / (back_half[1] * 0.8), 0, 1)
        height = (2.9 * size + (half - 2.9 * size) * behind).astype(np.float32)
        width = 2.9 * size - 0.5 * size * np.sin(np.pi * behind)
        arch = ring(p, back_centre, *back_half, height, width.astype(np.float32))
        distance = smooth_union(distance, smooth_intersection(arch, y + np.float32(6.0 * size), 2.0), 2.0)
        knob = ellipsoid(p, np.array([0, rear - 1.8 * size, -3.0 * size]), np.array([2.8, 2.4, 3.4]) * size)
        distance = smooth_union(distance, knob, 2.5)
        for (start, bend), thick in zip(root, (2.0, 2.6)):
            bar = beam(p, start, bend, (3.6 * size, thick * size), (3.0 * size, thick * size))
            bar = smooth_union(bar, beam(p, bend, tip, (3.0 * size, thick * size), (3.8 * size, 2.6 * size)), 1.5)
            distance = smooth_union(distance, bar, 1.5)
        vessel = capsule(p, hole + UP * 14, hole - UP * 14, d.foramen * 1.05, d.foramen * 1.05)
        return smooth_subtraction(distance, vessel, 1.0)

    landmarks = {
        "pedicle": path[0],
        "lamina": path[2],
        "posterior_arch": path[2] * 0.4 + path[3] * 0.6,
        "lateral_mass": mass,
        "transverse": tip + np.array([2.0 * size, 0, 0]),
        "facet_superior": mass + UP * 4.6 * size,
        "canal": np.array([0, (front[1] + rear) / 2 - 5.0 * size, 0]),
        "anterior_arch": front,
    }
    return solid, landmarks
