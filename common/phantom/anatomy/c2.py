"""C2: the dens on its body, shoulders under C1, stout isthmus and lamina, a big forked spinous process."""

import numpy as np

from common.phantom.anatomy.alignment import DENS_Y, JointPlane
from common.phantom.anatomy.dimensions import Dimensions
from common.phantom.anatomy.signed_distance import beam, capsule, polyline_beam, smooth_subtraction, smooth_union
from common.phantom.anatomy.subaxial import Solid
from common.phantom.anatomy.vertebra_parts import Arch, BodyForm, arch, body, canal, facet_column, mirror


def axis(
    d: Dimensions, joints: dict[str, JointPlane], size: float, spurs: float
) -> tuple[Solid, dict[str, np.ndarray]]:
    """Solid and right-sided landmarks of C2; arguments as in `subaxial`."""
    form = BodyForm(
        front_share=0.6,
        round_front=1.2,
        round_back=0.3,
        hollow_back=0.5,
        waist=0.6 * size,
        dish=0,
        arch=1.8 * size,
        bevel=2.2,
        lip=3.6 * size + spurs,
        osteophyte=0.5 * spurs,
    )
    lower = joints["inferior_right"].point
    front = -d.depth / 2 + 0.4 * size
    back = front - d.canal_depth - 2.8 * size
    lean = 0.5
    isthmus = np.array([15.0, -4.5, 1.0]) * size, np.array([lower[0] - 1.5 * size, lower[1], -7.0 * size])
    bars = Arch(
        pedicle=isthmus,
        pedicle_radii=(5.2 * size, 4.4 * size),
        lamina=(
            np.array([lower[0] - 2.5 * size, lower[1] - 2.0 * size, -8.0 * size]),
            np.array([1.2 * size, back + 0.6 * size, -9.0 * size]),
        ),
        lamina_radii=(d.lamina_height / 2, 2.7 * size),
        lamina_lean=lean,
        spinous=(np.array([0, back, -9.5 * size]), np.array([0, d.spinous_y, d.spinous_z])),
        spinous_radii=((d.lamina_height * 0.58, 4.2 * size), (d.lamina_height * 0.42, 3.4 * size)),
        fork=d.fork,
        size=size,
    )
    y = DENS_Y * size
    dens_path = np.array([[0, y + 1.5, 4], [0, y + 0.5, 11.5], [0, y, 17.0], [0, y - 0.8, 21.8]]) * [1, 1, size]
    dens_radii = np.array([[6.0, 6.8], [4.7, 4.5], [5.4, 5.0], [3.2, 3.2]]) * size
    tip = np.array([d.transverse_x, d.transverse_y, d.transverse_z])
    rib = np.array([[8.0, 2.0, -5.0], [20.5, 0.8, -6.0], tip / size]) * size
    root = np.array([[6.0, 0.5, 0.5], [15.0, -4.5, -1.5]]) * size
    rear = np.array([lower[0], lower[1] + 2.0 * size, -7.5 * size])
    tunnel = np.array([[19.0, -4.0, -18], [20.0, -4.0, -7.0], [24.5, -4.6, -1.5], [31.0, -4.6, 1.5]]) * size

    def solid(q: np.ndarray, raw: np.ndarray) -> np.ndarray:
        p = mirror(q).T
        distance = smooth_union(body(q, d, form), arch(q, bars), 3.0)
        shoulders = facet_column(q, raw, joints, "superior", 8.4 * size, 8.0 * size, 11.0 * size)
        distance = smooth_union(distance, shoulders, 5.0)
        neck = beam(p, root[0], root[1], (7.0 * size, 6.0 * size), (5.5 * size, 5.0 * size))
        distance = smooth_union(distance, neck, 3.0)
        knees = facet_column(q, raw, joints, "inferior", d.pillar_half, 5.8 * size, 8.0 * size)
        distance = smooth_union(distance, knees, 2.0)
        wing = smooth_union(
            polyline_beam(p, rib, np.array([[2.6, 2.0], [2.2, 1.5], [2.8, 2.0]]) * size, blend=1.5),
            beam(p, rear, tip, (2.6 * size, 2.0 * size), (2.6 * size, 2.0 * size)),
            2.0,
        )
        distance = smooth_union(distance, wing, 2.0)
        distance = smooth_subtraction(distance, canal(q, front, d.canal_width, d.canal_depth, 0.3, 0.45), 1.5)
        vessel = np.minimum(
            np.minimum(
                capsule(p, tunnel[0], tunnel[1], d.foramen, d.foramen),
                capsule(p, tunnel[1], tunnel[2], d.foramen, d.foramen),
            ),
            capsule(p, tunnel[2], tunnel[3], d.foramen, d.foramen),
        )
        distance = smooth_subtraction(distance, vessel, 1.0)
        return smooth_union(distance, polyline_beam(p, dens_path, dens_radii, (0, 1, 0), 2.0), 2.0)

    landmarks = {
        "pedicle": (isthmus[0] + isthmus[1]) / 2,
        "pars": (isthmus[0] * 0.4 + isthmus[1] * 0.6),
        "lamina": (bars.lamina[0] + bars.lamina[1]) / 2,
        "transverse": tip,
        "canal": np.array([0, front - 0.5 * d.canal_depth, 0]),
        "spinous_base": bars.spinous[0],
        "spinous_tip": bars.spinous[1],
        "dens_tip": dens_path[-1] + [0, 0, 3.2 * size],
        "dens_neck": dens_path[1],
    }
    return solid, landmarks
