"""Parts that most vertebrae have: body, pedicles, articular pillars, laminae, spinous process, canal.

All functions take points as (3, N) float32 in the bone's frame and return distances (N,); x is mirrored where a
part is paired. Everything is in mm.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from common.phantom.anatomy.alignment import JOINT_GAP_MM, JointPlane
from common.phantom.anatomy.dimensions import Dimensions
from common.phantom.anatomy.signed_distance import apart, beam, smooth_intersection, smooth_union, squircle


def mirror(q: np.ndarray) -> np.ndarray:
    """Points (3, N) with those of the left side laid over the right one, so that a paired part is built once."""
    result = q.copy()
    np.abs(result[0], out=result[0])
    return result


@dataclass(frozen=True)
class BodyForm:
    """What differs between bodies besides their size."""

    front_share: float = 0.56
    round_front: float = 0.8
    round_back: float = 0.1
    hollow_back: float = 0.6
    waist: float = 0.7
    dish: float = 0.9
    arch: float = 1.5
    bevel: float = 2.6
    lip: float = 1.2
    osteophyte: float = 0.0
    uncus: float = 0.0


def body(q: np.ndarray, d: Dimensions, form: BodyForm) -> np.ndarray:
    """A vertebral body: oblong, waisted, the upper endplate dished with uncinate processes at its sides, the lower
    one arched from front to back with a lip in front and bevelled sides."""
    grown = 1 + 2.6 * form.osteophyte
    half = np.array([d.width / 2 + grown, d.depth / 2 + grown, d.height / 2 + 1 + 1.5 * form.uncus + form.lip])
    if (far := apart(q, -half, half)) is not None:
        return far
    x, y, z = q
    m = np.abs(x)
    a, b, h = np.float32(d.width / 2), np.float32(d.depth / 2), np.float32(d.height / 2)
    u = np.clip(z / h, -1.2, 1.2)
    roundness = np.where(
        y > (0.5 - form.front_share) * d.depth, np.float32(form.round_front), np.float32(form.round_back)
    )
    ahead = y - np.float32((0.5 - form.front_share) * d.depth)  # from the section's widest line
    share = np.where(ahead > 0, np.float32(form.front_share), np.float32(1 - form.front_share))
    side = squircle(x, ahead, a, share * np.float32(d.depth), roundness)
    across = np.minimum((m / a) ** 2, 1.2)
    along = np.clip(y / b, -1.1, 1.1)
    square = u * u
    side += np.float32(form.waist) * np.maximum(1 - square, 0) + np.float32(0.4) * u
    side += np.float32(form.hollow_back) * np.maximum(1 - across, 0) * np.maximum(-along, 0)
    if form.osteophyte > 0:
        rim = np.maximum(square - 0.55, 0) * (0.5 + np.maximum(along, 0) + 0.5 * across)
        side -= np.float32(form.osteophyte * 1.3) * rim
    flat = 1 - along * along
    outer = np.maximum(m - 0.5 * a, 0) / (0.5 * a)
    outer *= outer
    top = h - np.float32(form.dish) * flat * (1 - 0.6 * across)
    top += np.float32(form.uncus) * np.minimum(outer, 1.2) * (0.85 - 0.35 * along)
    bottom = -h + np.float32(form.arch) * flat + np.float32(form.bevel) * np.minimum(outer, 1.2)
    bottom -= np.float32(form.lip) * np.maximum(along - 0.3, 0)
    return smooth_intersection(side, np.maximum(z - top, bottom - z), 2.2)


def pillar(
    q: np.ndarray,
    raw: np.ndarray,
    joints: dict[str, JointPlane],
    half_x: float,
    half_y: float,
    reach: float,
) -> np.ndarray:
    """The articular pillars of both sides: columns cut by the planes of the joints above and below them.

    `raw`: the points before the bone's personal warp, since both bones of a joint share its plane;
    `reach`: how far the facets stand above and below the joints' middles.
    """

    def column(side: str) -> np.ndarray:
        upper, lower = joints[f"superior_{side}"], joints[f"inferior_{side}"]
        way = upper.point - lower.point
        rise = np.clip((q[2] - np.float32(lower.point[2])) / np.float32(way[2]), -0.3, 1.3)
        column = squircle(
            q[0] - np.float32(lower.point[0]) - np.float32(way[0]) * rise,
            q[1] - np.float32(lower.point[1]) - np.float32(way[1]) * rise,
            half_x,
            half_y,
            0.35,
        )
        ends = np.maximum(q[2] - np.float32(upper.point[2] + reach), np.float32(lower.point[2] - reach) - q[2])
        cut = np.maximum(np.maximum(under(raw, upper), over(raw, lower)), ends)
        return smooth_intersection(column, cut, 3.0)

    return by_side(q, column)


def facet_column(
    q: np.ndarray,
    raw: np.ndarray,
    joints: dict[str, JointPlane],
    end: str,
    half_x: float,
    half_y: float,
    length: float,
) -> np.ndarray:
    """Short columns of both sides that end in the joints named `end` ("superior", "inferior"); arguments as in
    `pillar`."""

    def column(side: str) -> np.ndarray:
        joint = joints[f"{end}_{side}"]
        column = squircle(q[0] - np.float32(joint.point[0]), q[1] - np.float32(joint.point[1]), half_x, half_y, 0.6)
        if end == "superior":
            cut = np.maximum(under(raw, joint), np.float32(joint.point[2] - length) - q[2])
        else:
            cut = np.maximum(over(raw, joint), q[2] - np.float32(joint.point[2] + length))
            cut = np.maximum(cut, np.float32(joint.point[2] - length * 0.6) - q[2])
        return smooth_intersection(column, cut, 2.0)

    return by_side(q, column)


def by_side(q: np.ndarray, one: Callable[[str], np.ndarray]) -> np.ndarray:
    """What `one` gives for "left" and "right", each for its own points of (3, N); a side without points isn't asked."""
    right = q[0] > 0
    if right.all():
        return one("right")
    return np.where(right, one("right"), one("left")) if right.any() else one("left")


def under(q: np.ndarray, joint: JointPlane) -> np.ndarray:
    """Distance to the half space below a joint, half its gap away."""
    n = joint.normal.astype(np.float32)
    return n @ q - np.float32(joint.normal @ joint.point - JOINT_GAP_MM / 2)


def over(q: np.ndarray, joint: JointPlane) -> np.ndarray:
    """Distance to the half space above a joint, half its gap away."""
    n = joint.normal.astype(np.float32)
    return np.float32(joint.normal @ joint.point + JOINT_GAP_MM / 2) - n @ q


@dataclass(frozen=True)
class Arch:
    """Where the neural arch runs on the right side, and how thick it is (half height, half width)."""

    pedicle: tuple[np.ndarray, np.ndarray]
    pedicle_radii: tuple[float, float]
    lamina: tuple[np.ndarray, np.ndarray]
    lamina_radii: tuple[float, float]
    lamina_lean: float
    spinous: tuple[np.ndarray, np.ndarray]
    spinous_radii: tuple[tuple[float, float], tuple[float, float]]
    fork: float
    size: float


def arch(q: np.ndarray, form: Arch) -> np.ndarray:
    """Pedicles, laminae and the spinous process, in one."""
    p, size = mirror(q).T, form.size
    lean = (0.0, form.lamina_lean, 1.0)
    height, width = form.lamina_radii
    plate = beam(p, *form.lamina, (height * 0.95, width), (height, width * 1.15), lean)
    result = smooth_union(beam(p, *form.pedicle, form.pedicle_radii, form.pedicle_radii), plate, 3.0)
    root, tip = form.spinous
    first, last = form.spinous_radii
    end = tip if form.fork == 0 else tip + (root - tip) * (6.0 * size / np.linalg.norm(root - tip))
    ridge = beam(p, root, end, first, last, (0.0, 0.25, 1.0))
    if form.fork > 0:
        start = end + np.array([0.6 * size, 0, 0])
        prong = tip + np.array([form.fork, 0, -0.6 * size])
        ridge = smooth_union(ridge, beam(p, start, prong, (last[0], last[1]), (last[0] * 0.85, last[1])), 2.0)
    else:
        knob = beam(p, tip + (root - tip) * 0.08, tip, (last[0], last[1] * 1.35), (last[0] * 0.95, last[1] * 1.3))
        ridge = smooth_union(ridge, knob, 3.0)
    return smooth_union(result, ridge, 3.0)


def canal(q: np.ndarray, front: float, width: float, depth: float, lean: float, roundness: float) -> np.ndarray:
    """Distance to the vertebral canal, endless along z: flat in front, its back a rounded gable that leans with
    the laminae. `roundness` 0 is the triangle of the neck, 1 the round canal of the chest."""
    m, y = np.abs(q[0]), q[1] - np.float32(front)
    half = width / 2
    if roundness == 1:
        middle = y + np.float32(depth / 2) - np.float32(lean) * np.clip(q[2], -9, 6)
        return np.maximum(squircle(q[0], middle, half, depth / 2, 0.8), y)
    shoulder, ridge = depth * (0.3 + 0.25 * roundness), half * (0.1 + 0.35 * roundness)
    normal = np.array([depth - shoulder, -(half - ridge)])
    normal = normal / np.linalg.norm(normal)
    back = y - np.float32(lean) * np.clip(q[2], -9, 6)
    gable = (m - np.float32(half)) * np.float32(normal[0]) + (back + np.float32(shoulder)) * np.float32(normal[1])
    gable = np.maximum(gable, -np.float32(depth) - back)
    sides = smooth_intersection(m - np.float32(half), y, 4.0)
    return smooth_intersection(sides, gable, 5.0)
