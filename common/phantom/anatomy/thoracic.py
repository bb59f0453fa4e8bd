"""T1 to T3: heart-shaped bodies, round canal, long oblique spinous and stout transverse processes."""

import numpy as np

from common.phantom.anatomy.alignment import JointPlane
from common.phantom.anatomy.dimensions import Dimensions
from common.phantom.anatomy.signed_distance import beam, smooth_subtraction, smooth_union
from common.phantom.anatomy.subaxial import Solid
from common.phantom.anatomy.vertebra_parts import Arch, BodyForm, arch, body, canal, mirror, pillar


def thoracic(
    level: str, d: Dimensions, joints: dict[str, JointPlane], size: float, disc: float, spurs: float
) -> tuple[Solid, dict[str, np.ndarray]]:
    """Solid and right-sided landmarks of T1 to T3; arguments as in `subaxial`."""
    form = BodyForm(
        round_front=1.0,
        round_back=0.35,
        front_share=0.64,
        hollow_back=1.9 * size if level != "T1" else 1.2 * size,
        waist=1.3 * size,
        dish=0.7 * size,
        arch=1.0 * size,
        bevel=0.6,
        lip=0.3,
        uncus=min(d.uncus, disc),
        osteophyte=spurs,
    )
    upper, lower = joints["superior_right"].point, joints["inferior_right"].point
    front = -d.depth / 2 + 0.4 * size
    middle = 0.26 * d.height
    back = front - d.canal_depth - 3.0 * size
    lean = 0.35
    root = np.array([upper[0], upper[1] - 1.0 * size, middle + 0.5 * size])
    bars = Arch(
        pedicle=(np.array([0.34 * d.width, -0.3 * d.depth, middle]), np.array([upper[0], upper[1], middle])),
        pedicle_radii=(d.height * 0.31, 3.0 * size),
        lamina=(
            np.array([d.canal_width / 2 + 2.0 * size, (upper[1] + lower[1]) / 2 - 0.5 * size, -0.04 * d.height]),
            np.array([1.0 * size, back + 0.5 * size, -0.2 * d.height]),
        ),
        lamina_radii=(d.lamina_height / 2, 3.0 * size),
        lamina_lean=lean,
        spinous=(
            np.array([0, back - 0.5 * size, -0.26 * d.height]),
            np.array([0, d.spinous_y, d.spinous_z]),
        ),
        spinous_radii=((d.lamina_height * 0.42, d.spinous_width), (4.2 * size, d.spinous_width * 0.8)),
        fork=0.0,
        size=size,
    )
    tip = np.array([d.transverse_x - 3.5 * size, d.transverse_y, d.transverse_z])

    def solid(q: np.ndarray, raw: np.ndarray) -> np.ndarray:
        p = mirror(q).T
        distance = smooth_union(body(q, d, form), arch(q, bars), 2.5)
        facets = pillar(q, raw, joints, d.pillar_half, 4.4 * size, 2.5 * size)
        distance = smooth_union(distance, facets, 2.0)
        wing = beam(p, root, tip, (4.8 * size, 3.6 * size), (4.4 * size, 3.5 * size))
        club = beam(p, root * 0.15 + tip * 0.85, tip, (4.4 * size, 3.8 * size), (5.0 * size, 4.2 * size))
        distance = smooth_union(distance, smooth_union(wing, club, 2.0), 2.5)
        return smooth_subtraction(distance, canal(q, front, d.canal_width, d.canal_depth, lean * 0.5, 1.0), 1.0)

    landmarks = {
        "pedicle": (bars.pedicle[0] + bars.pedicle[1]) / 2,
        "lamina": (bars.lamina[0] + bars.lamina[1]) / 2,
        "transverse": np.array([d.transverse_x, d.transverse_y, d.transverse_z]),
        "canal": np.array([0, front - 0.5 * d.canal_depth, 0]),
        "spinous_base": bars.spinous[0],
        "spinous_tip": bars.spinous[1],
    }
    return solid, landmarks
