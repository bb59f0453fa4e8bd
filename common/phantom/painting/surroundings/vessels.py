"""Carotids, jugular and vertebral vessels; contrast fills them; plaques lie at the carotid fork."""

import numpy as np

from common.phantom import tissues
from common.phantom.anatomy.column import Column
from common.phantom.anatomy.person import Person
from common.phantom.painting.surroundings.coarse_grid import CoarseGrid
from common.phantom.painting.surroundings.elliptic_tube import EllipticTube, pair, union
from common.phantom.painting.surroundings.neck import Neck
from common.phantom.painting.surroundings.shapes import tube

BLOOD = 46.0
COMMON_CAROTID = (
    (4.1, 28, 19, 4.4, 4.2, 0),
    (5, 26, 19.5, 3.6, 3.5, 0),
    (6, 24.5, 20, 3.5, 3.4, 0),
    (7, 23, 23, 3.5, 3.4, 0),
    (8, 20, 31, 3.7, 3.5, 0),
    (9, 15, 40, 4, 3.8, 0),
    (11, 14, 48, 4.2, 4, 0),
)
INTERNAL_CAROTID = (
    (-0.6, 21, 22, 2.6, 2.5, 0),
    (0, 24, 20, 2.6, 2.5, 0),
    (1, 27, 17, 2.6, 2.5, 0),
    (2, 28, 17.5, 2.7, 2.6, 0),
    (3, 29, 18, 3, 2.8, 0),
    (3.7, 30, 18, 3.8, 3.5, 0),
    (4.1, 29, 18.5, 4, 3.8, 0),
)
EXTERNAL_CAROTID = (
    (0, 48, 15, 1.4, 1.3, 0),
    (1, 42, 20, 1.6, 1.5, 0),
    (2, 34, 25, 1.9, 1.8, 0),
    (3, 26.5, 26, 2.2, 2.1, 0),
    (4, 26.5, 22.5, 2.8, 2.6, 0),
)
JUGULAR = (
    (-0.3, 29, 8, 3.6, 3.2, 0),
    (1, 31, 9, 4.6, 3.4, 120),
    (2, 35, 11, 5.4, 3.8, 120),
    (3, 37, 14, 5.8, 4.2, 125),
    (4, 37, 15, 6, 4.4, 130),
    (5, 35.5, 16.5, 6.4, 4.6, 140),
    (6, 33.5, 19, 6.8, 5, 150),
    (7, 32, 25, 7, 5.2, 155),
    (8, 29, 35, 7, 5, 160),
    (9, 24, 46, 7, 5.4, 160),
    (11, 17, 58, 7.5, 6.5, 90),
)
OUTER_JUGULAR = (
    (2.4, 50, 10, 1.5, 1.3, 0),
    (4, 50, 12, 1.8, 1.5, 0),
    (6, 48, 20, 2, 1.6, 0),
    (7.5, 46, 26, 2, 1.7, 0),
    (8.3, 42, 30, 2, 1.8, 0),
)
AXIS_TUNNEL = np.array([[18.0, -4.6, -14], [19.0, -4.3, -6.0], [24.5, -4.6, -0.5], [30.0, -4.6, 3.0]])
ATLAS_LOOP = np.array([[27.3, -2, -5], [27.3, -2, 5], [27, -8, 9.5], [22, -17, 10.5], [14, -19, 12], [7, -9, 22]])
"""Course of the vertebral artery in C2's and C1's frame, right side, mm of an average adult."""
SUBCLAVIAN_ARTERY = ((8.7, 16, 38), (8.4, 26, 30), (8.2, 40, 24), (8.6, 60, 30), (9.0, 85, 36))
SUBCLAVIAN_VEIN = ((9.0, 24, 46), (8.8, 38, 42), (8.9, 60, 42), (9.3, 85, 44))


def paint_vessels(coarse: CoarseGrid, neck: Neck, column: Column, person: Person) -> None:
    """Arteries are `person.contrast` HU above blood, veins a drawn part of that."""
    rng = person.stream("vessels")
    arterial = BLOOD + person.contrast
    venous = BLOOD + person.contrast * float(rng.uniform(0.3, 0.95))

    def both(sections: tuple) -> list[EllipticTube]:
        return list(pair(EllipticTube.of(*sections), rng, 1 + person.asymmetry))

    dominant = rng.choice([-1, 1], p=[0.25, 0.75])
    jugulars = [
        b.varied(swell=float(rng.uniform(0.95, 1.3) if i == dominant else rng.uniform(0.55, 0.95)))
        for b, i in zip(both(JUGULAR), (1, -1))
    ]
    for side in (-1, 1):
        for course, radius, hu in ((SUBCLAVIAN_VEIN, 5.0, venous), (SUBCLAVIAN_ARTERY, 4.0, arterial)):
            level, u, v = np.array(course).T
            _paint_tube(coarse, neck.world(level, side * u, v), radius, hu)
    for bundles, hu in (
        (jugulars + both(OUTER_JUGULAR), venous),
        (both(COMMON_CAROTID) + both(INTERNAL_CAROTID) + both(EXTERNAL_CAROTID), arterial),
    ):
        found = union(neck, bundles)
        if found is not None:
            coarse.paint(*found, hu, tissues.VESSEL)
    large = rng.uniform(1.6, 2.5, 2)
    for side, radius in zip((1, -1), large):
        _paint_tube(coarse, vertebral_course(column, neck, side), float(radius), arterial)
    for _ in range(26):
        _paint_tube(coarse, _twig(neck, rng), float(rng.uniform(0.7, 1.5)), venous if rng.random() < 0.7 else arterial)
    _paint_plaques(coarse, neck, person, rng)


def vertebral_course(column: Column, neck: Neck, side: int) -> np.ndarray:
    """World points (n, 3) of a vertebral artery (`side` 1 = right, -1 = left) from the subclavian artery through the
    transverse foramina of C6..C1, round C1's lateral mass and into the foramen magnum."""
    size = neck.size
    points = list(neck.world(np.array([8.4, 7.5, 7.0]), side * np.array([24, 20, 18]), np.array([28, 10, 2.5])))
    for level in ("C6", "C5", "C4", "C3"):
        posed = column.bones[level]
        out = posed.bone.size["body_width"] / 2 + 6.2 * size
        points.append(posed.to_world(np.array([side * out, -2.4 * size, 0])))
    mirror = np.array([side, 1, 1]) * size
    points += list(column.bones["C2"].to_world(AXIS_TUNNEL * mirror))
    points += list(column.bones["C1"].to_world(ATLAS_LOOP * mirror))
    return np.array(points)


def _twig(neck: Neck, rng: np.random.Generator) -> np.ndarray:
    """A short nameless vessel: world points (4, 3)."""
    level, turn = rng.uniform(1.5, 9.8), rng.uniform(-2.6, 2.6)
    out = rng.uniform(26, 48) * (1 + 0.35 * max(level - 6, 0) / 3)
    step = np.arange(4)
    levels = level + step * rng.uniform(0.15, 0.4)
    wander = np.cumsum(rng.normal(0, 4, (4, 2)), axis=0)
    return neck.world(levels, out * np.sin(turn) + wander[:, 0], out * np.cos(turn) + wander[:, 1])


def _paint_tube(coarse: CoarseGrid, points: np.ndarray, radius: float, hu: float) -> None:
    box = coarse.box(points.min(axis=0) - radius - 2, points.max(axis=0) + radius + 2)
    if box is not None:
        coarse.paint(box, tube(coarse.points(box), points, radius), hu, tissues.VESSEL)


def _paint_plaques(coarse: CoarseGrid, neck: Neck, person: Person, rng: np.random.Generator) -> None:
    for _ in range(rng.poisson(3.0 * np.clip((person.age - 50) / 30, 0, 1))):
        side = rng.choice([-1, 1])
        level, turn = rng.normal(3.9, 0.35), rng.uniform(0, 6.28)
        spot = neck.world([level], [side * 29 + 3.4 * np.cos(turn)], [18.5 + 3.4 * np.sin(turn)])[0]
        _paint_tube(
            coarse, spot + rng.normal(0, 1.5, (2, 3)), float(rng.uniform(0.7, 1.5)), float(rng.uniform(350, 1000))
        )
