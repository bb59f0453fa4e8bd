"""C3 to C7: uncinate bodies, sloping articular pillars, forked spinous and pierced transverse processes."""

from collections.abc import Callable

import numpy as np

from common.phantom.anatomy.alignment import JointPlane
from common.phantom.anatomy.dimensions import Dimensions
from common.phantom.anatomy.signed_distance import (
    beam,
    capsule,
    ellipsoid,
    polyline_beam,
    smooth_subtraction,
    smooth_union,
)
from common.phantom.anatomy.vertebra_parts import Arch, BodyForm, arch, body, canal, mirror, pillar

Solid = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Points (3, N) after and before the bone's personal warp -> distances (N,)."""


def subaxial(
    level: str, d: Dimensions, joints: dict[str, JointPlane], size: float, disc: float, spurs: float
) -> tuple[Solid, dict[str, np.ndarray]]:
    """Solid and right-sided landmarks of C3 to C7.

    `disc`: height of the disc above, which bounds the uncinate processes; `spurs`: osteophytes, mm.
    """
    low = level == "C7"
    form = BodyForm(
        waist=0.7 * size,
        uncus=min(d.uncus, disc + 1.4),
        osteophyte=spurs,
        lip=1.4 * size + 0.25 * spurs,
    )
    pillar_x = (joints["superior_right"].point[0] + joints["inferior_right"].point[0]) / 2
    pillar_y = (joints["superior_right"].point[1] + joints["inferior_right"].point[1]) / 2
    front = -d.depth / 2 + 0.2 * size
    middle = 0.8 * size  # height at which the pedicles leave the body
    back = front - d.canal_depth - 2.3 * size
    lean = 0.55
    bars = Arch(
        pedicle=(
            np.array([0.36 * d.width, -0.26 * d.depth, middle]),
            np.array([pillar_x - 1.5 * size, pillar_y + 3.0 * size, middle]),
        ),
        pedicle_radii=(3.6 * size, 2.8 * size),
        lamina=(
            np.array([pillar_x - 2.5 * size, pillar_y - 2.5 * size, -0.3 * size]),
            np.array([1.0 * size, back + 0.4 * size, -1.8 * size]),
        ),
        lamina_radii=(d.lamina_height * 0.58, 1.85 * size),
        lamina_lean=lean,
        spinous=(np.array([0, back, -2.2 * size]), np.array([0, d.spinous_y, d.spinous_z])),
        spinous_radii=((d.lamina_height * 0.46, d.spinous_width), (d.lamina_height * 0.33, d.spinous_width * 0.85)),
        fork=d.fork,
        size=size,
    )
    hole = np.array([d.width / 2 + 2.6 * size + d.foramen, (-3.8 if low else -2.9) * size, 0])
    tubercle = np.array([d.transverse_x, d.transverse_y, d.transverse_z])
    if low:
        ventral = np.array([hole[0] + 5.0 * size, -3.0 * size, 1.0 * size])
        rib_radii = np.array([[1.7, 1.3], [1.5, 1.2], [1.6, 1.4]]) * size
        rear_radii = ((4.2 * size, 3.2 * size), (3.4 * size, 2.9 * size))
    else:
        ventral = np.array([d.transverse_x - 4.2 * size, 0.5 * size, d.transverse_z + 1.8 * size])
        bulk = 1.3 if level == "C6" else 1.0
        rib_radii = np.array([[2.8, 1.9], [2.3, 1.4], [2.6 * bulk, 1.8 * bulk]]) * size
        rear_radii = ((3.0 * size, 2.3 * size), (2.4 * size, 2.0 * size))
    rib = np.array([[0.40 * d.width, 0, 0], [hole[0], hole[1] + d.foramen + 1.3 * size, -0.3 * size], ventral])
    medial, lateral = 3.6 * size, (2.4 if low else 5.0) * size  # of bone beside the foramen
    web = hole + np.array([(lateral - medial) / 2, -0.4 * size, (0.9 if low else -1.0) * size])
    rim = np.array([d.foramen + (medial + lateral) / 2, d.foramen + 2.2 * size, (2.6 if low else 3.3) * size])
    rear = np.array([pillar_x - 1.5 * size, pillar_y + 3.5 * size, 0.3 * size])

    def transverse(q: np.ndarray) -> np.ndarray:
        p = mirror(q).T
        front_bar = polyline_beam(p, rib, rib_radii, blend=1.5)
        rear_bar = beam(p, rear, tubercle, *rear_radii)
        link = ellipsoid(p, web, rim)
        return smooth_union(smooth_union(front_bar, rear_bar, 2.0), link, 1.5)

    def solid(q: np.ndarray, raw: np.ndarray) -> np.ndarray:
        distance = smooth_union(body(q, d, form), arch(q, bars), 2.0)
        distance = smooth_union(distance, pillar(q, raw, joints, d.pillar_half, 5.3 * size, 3.6 * size), 2.0)
        distance = smooth_union(distance, transverse(q), 1.5)
        distance = smooth_subtraction(distance, canal(q, front, d.canal_width, d.canal_depth, lean, 0.0), 1.0)
        ends = hole + np.array([0.6, -1.0, 12]) * size, hole + np.array([-0.6, 1.0, -12]) * size
        return smooth_subtraction(distance, capsule(mirror(q).T, *ends, d.foramen, d.foramen), 1.0)

    landmarks = {
        "pedicle": (bars.pedicle[0] * 0.35 + bars.pedicle[1] * 0.65),
        "lamina": (bars.lamina[0] + bars.lamina[1]) / 2,
        "transverse": tubercle,
        "canal": np.array([0, front - 0.42 * d.canal_depth, 0]),
        "spinous_base": bars.spinous[0],
        "spinous_tip": bars.spinous[1],
    }
    return solid, landmarks
