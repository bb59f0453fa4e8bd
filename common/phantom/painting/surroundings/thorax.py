"""The upper chest: lung apices, ribs, clavicles, breastbone, shoulder bones."""

import numpy as np
from scipy.interpolate import PchipInterpolator

from common.phantom import tissues
from common.phantom.anatomy.person import Person
from common.phantom.painting.surroundings.coarse_grid import CoarseGrid
from common.phantom.painting.surroundings.elliptic_tube import EllipticTube, pair, union
from common.phantom.painting.surroundings.neck import Neck
from common.phantom.painting.surroundings.shapes import tube
from common.phantom.painting.surroundings.texture import grain, smooth_field

LUNG = (
    (8.15, 36, 4, 5, 4, 0),
    (8.4, 38, 6, 14, 12, 60),
    (8.8, 41, 10, 23, 18, 75),
    (9.3, 45, 12, 32, 24, 80),
    (10, 50, 14, 42, 31, 80),
    (12, 56, 16, 56, 38, 80),
)
RIB_1 = (
    (7.75, 21, -11),
    (7.6, 33, -12),
    (7.95, 44, -4),
    (8.4, 54, 10),
    (8.9, 58, 24),
    (9.4, 56, 42),
    (9.9, 46, 58),
    (10.2, 32, 68),
)
RIB_2 = ((8.75, 19, -10), (8.6, 36, -18), (8.8, 56, -14), (9.1, 73, 0), (9.6, 83, 18), (10.1, 87, 36), (10.7, 82, 54))
RIB_3 = ((9.75, 18, -10), (9.6, 38, -22), (9.75, 60, -20), (10.0, 82, -8), (10.4, 94, 8), (11, 100, 26))
CLAVICLE = ((9.75, 14, 74), (9.6, 28, 74), (9.35, 46, 68), (9.0, 70, 46), (8.7, 94, 20), (8.5, 118, 2), (8.45, 140, 0))
MANUBRIUM = ((9.7, 0, 78, 16, 5, 0), (10.1, 0, 80, 24, 7, 0), (10.6, 0, 83, 26, 7.5, 0), (12, 0, 92, 22, 7, 0))
SCAPULA_SPINE = ((8.8, 150, -14), (9.1, 125, -32), (9.5, 100, -46), (9.9, 78, -54))
SCAPULA_BLADE = ((9.2, 138, 4), (9.7, 108, -14), (10.3, 84, -32), (11, 74, -44))


def paint_thorax(coarse: CoarseGrid, neck: Neck, person: Person) -> None:
    rng = person.stream("thorax")
    lungs = union(neck, list(pair(EllipticTube.of(*LUNG), rng, 1 + person.asymmetry)))
    if lungs is not None:
        box, distance = lungs
        coarse.paint(
            box,
            distance - 3.2,
            40 + 12 * smooth_field(distance.shape, 4.0 / coarse.step, rng) + 5 * grain(distance.shape, rng),
            tissues.SOFT,
        )
        vessels = smooth_field(distance.shape, 2.4 / coarse.step, rng)
        hu = -860 + 25 * grain(distance.shape, rng) + 500 * np.clip(np.abs(vessels) - 2.1, 0, 1)
        coarse.paint(box, distance, hu.astype(np.float32), tissues.LUNG)
    for course, radius, kind in (
        (RIB_1, 3.9, "rib"),
        (RIB_2, 3.7, "rib"),
        (RIB_3, 3.7, "rib"),
        (CLAVICLE, 5.4, "bone"),
        (SCAPULA_SPINE, 4.0, "bone"),
        (SCAPULA_BLADE, 3.6, "bone"),
    ):
        for side in (1, -1):
            _paint_rod(coarse, neck, np.array(course), side, radius, rng, tissues.BONES[kind])
    sternum = EllipticTube.of(*MANUBRIUM).distance(neck)
    if sternum is not None:
        _paint_spongy(coarse, *sternum, 1.1, rng, tissues.BONES["bone"])
    for side in (1, -1):
        _paint_rod(coarse, neck, np.array([(9.3, 160, 12), (9.9, 163, 14)]), side, 23.0, rng, tissues.BONES["bone"])
        _paint_rod(coarse, neck, np.array([(9.9, 166, 14), (12, 170, 14)]), side, 13.0, rng, tissues.BONES["bone"])


def _paint_rod(
    coarse: CoarseGrid,
    neck: Neck,
    course: np.ndarray,
    side: int,
    radius: float,
    rng: np.random.Generator,
    codes: tuple[int, int],
) -> None:
    level, u, v = course.T
    along = np.linspace(0, 1, 4 * len(course))
    smooth = PchipInterpolator(np.linspace(0, 1, len(course)), np.c_[level, side * u, v], axis=0)(along)
    points = neck.world(*smooth.T) + rng.normal(0, 0.3, 3)
    radii = radius * neck.size * (1 + 0.08 * np.sin(9 * along + rng.uniform(0, 6)))
    box = coarse.box(points.min(axis=0) - radius - 3, points.max(axis=0) + radius + 3)
    if box is not None:
        _paint_spongy(coarse, box, tube(coarse.points(box), points, radii), 1.3, rng, codes)


def _paint_spongy(
    coarse: CoarseGrid,
    box: tuple,
    distance: np.ndarray,
    cortex_mm: float,
    rng: np.random.Generator,
    codes: tuple[int, int],
) -> None:
    hu = 170 + 70 * grain(distance.shape, rng)
    coarse.paint_bone(box, distance.astype(np.float32), cortex_mm, 950.0, hu, codes)
