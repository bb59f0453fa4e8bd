"""The airway from nose to trachea, larynx and hyoid, gullet, tongue and the glands about them."""

from collections.abc import Callable

import numpy as np

from common.phantom import tissues
from common.phantom.anatomy.person import Person
from common.phantom.painting.surroundings.coarse_grid import CoarseGrid
from common.phantom.painting.surroundings.elliptic_tube import EllipticTube, pair, union
from common.phantom.painting.surroundings.neck import Neck
from common.phantom.painting.surroundings.texture import grain, smooth_field

LUMEN = (
    (-1.6, 0, 36, 15, 10, 90),
    (-0.5, 0, 33, 14, 9, 0),
    (0.5, 0, 26, 13, 6, 0),
    (1.2, 0, 23.5, 12, 5, 0),
    (1.8, 0, 23, 11, 5.5, 0),
    (2.5, 0, 22.5, 11, 6.5, 0),
    (3.2, 0, 22.5, 12, 7.5, 0),
    (3.8, 0, 22, 12, 7, 0),
    (4.3, 0, 23.5, 8, 6.5, 0),
    (4.7, 0, 25, 8.5, 4, 90),
    (5.0, 0, 25.5, 9, 2.2, 90),
    (5.3, 0, 23, 8.5, 5, 90),
    (5.8, 0, 21, 8.8, 7.2, 90),
    (6.5, 0, 21, 8.4, 8, 0),
    (8, 0, 23, 8.6, 7.6, 0),
    (9, 0, 26, 9, 7.8, 0),
    (10, 0, 28.5, 9.5, 8, 0),
    (12, 0, 29, 10, 8, 0),
)
WALL = {-1.6: 3.0, 1.0: 3.4, 3.0: 3.2, 4.2: 4.0, 5.0: 6.0, 5.8: 3.0, 6.4: 1.6, 12.0: 1.5}
PIRIFORM = ((3.9, 10, 19, 3, 2.5, 120), (4.4, 12, 17, 6, 2.6, 125), (5.0, 11, 14, 4, 1.4, 130))
VALLECULA = ((3.1, 5, 31, 4, 2.2, 0), (3.5, 6, 31.5, 5, 2.4, 0), (3.75, 6, 31, 4, 2, 0))
EPIGLOTTIS = ((2.9, 0, 26, 7, 0.9, 0), (3.3, 0, 28, 9, 1.1, 0), (3.8, 0, 29.5, 8, 1.2, 0), (4.4, 0, 31, 4, 1.2, 0))
THYROID_CARTILAGE = (
    (4.1, 15, 20, 9, 1.3, 120),
    (4.5, 12.5, 26, 15, 1.6, 123),
    (5, 11.5, 26, 16, 1.7, 125),
    (5.5, 11, 25, 14, 1.6, 125),
    (5.8, 15, 17, 5, 1.4, 110),
)
CRICOID = ((5.3, 0, 14, 12, 5, 0), (5.6, 0, 17.5, 12.5, 9, 0), (6.0, 0, 20, 12.5, 11.5, 0), (6.3, 0, 20.5, 12, 11.5, 0))
HYOID = (
    (3.35, 21, 24, 4, 1.8, 100),
    (3.5, 19, 32, 11, 2.2, 105),
    (3.65, 9, 42, 12, 2.8, 155),
    (3.9, 6, 44, 8, 2.6, 165),
)
GULLET = (
    (5.9, 0, 9.5, 9, 3.2, 0),
    (6.5, -1, 10.5, 8.5, 4, 0),
    (8, -3, 12.5, 8, 4.8, 0),
    (10, -4, 16, 8, 5, 0),
    (12, -4, 16, 8, 5, 0),
)
THYROID = (
    (5.3, 17, 20, 4, 3, 80),
    (5.8, 17, 21, 10, 5, 80),
    (6.4, 15.5, 22, 11, 7, 80),
    (7, 15.5, 23, 9, 6.5, 85),
    (7.4, 15, 24, 5, 4, 90),
)
ISTHMUS = ((6.3, 0, 30.5, 9, 1.8, 0), (6.9, 0, 31, 9, 2, 0))
SUBMANDIBULAR = (
    (2.1, 31, 35, 9, 5, 110),
    (2.7, 28, 40, 13, 7.5, 118),
    (3.3, 26, 42, 12, 7, 125),
    (3.7, 25, 41, 7, 4, 130),
)
PAROTID = (
    (-0.8, 58, 6, 7, 4, 100),
    (0, 54, 8, 13, 7, 105),
    (1, 50, 14, 16, 9, 105),
    (2, 48, 17, 14, 6, 105),
    (2.6, 47, 16, 7, 4, 100),
)
NODES = ((2.4, 40, 22), (2.9, 37, 27), (3.4, 44, 8), (4.2, 41, 3), (5.2, 40, 2), (6.2, 44, 4), (1.6, 20, 12))
TONGUE = (
    (0.9, 0, 62, 26, 16, 90),
    (1.5, 0, 60, 32, 22, 90),
    (2.2, 0, 58, 32, 24, 90),
    (2.9, 0, 54, 27, 21, 90),
    (3.4, 0, 52, 20, 16, 90),
)
GENIOHYOID = ((2.8, 4, 66, 15, 4, 92), (3.3, 4.5, 60, 16, 4.5, 92), (3.6, 4, 58, 13, 3.5, 92))
MYLOHYOID = ((2.6, 20, 56, 20, 2.5, 105), (3.2, 14, 58, 20, 2.8, 105), (3.6, 8, 56, 14, 2.6, 105))
CONSTRICTOR = (
    (1, 15, 24, 9, 2.5, 110),
    (2, 14.5, 23, 10, 2.6, 105),
    (3, 15.5, 22, 9, 2.6, 100),
    (4, 15, 17, 9, 2.6, 120),
    (5, 13, 13, 9, 3, 140),
    (5.8, 9, 10, 8, 2.6, 160),
)


def paint_throat(coarse: CoarseGrid, neck: Neck, person: Person) -> None:
    """Soft parts first, then cartilage and bone, then the air."""
    rng = person.stream("throat")

    def both(sections: tuple, lean: float = 1.0) -> list[EllipticTube]:
        return list(pair(EllipticTube.of(*sections), rng, lean * person.asymmetry))

    def lay(bundles: list[EllipticTube], mean: float, spread: float, code: int, fatty: float = 0.0) -> None:
        found = union(neck, bundles)
        if found is None:
            return
        box, distance = found
        hu = mean + spread * grain(distance.shape, rng)
        if fatty:
            hu -= fatty * np.clip(smooth_field(distance.shape, 2.6 / coarse.step, rng), 0, 2)
        coarse.paint(box, distance, hu.astype(np.float32), code)

    tongue = EllipticTube.of(*TONGUE)
    lay([tongue], 52, 5, tissues.MUSCLE, 22)
    lay([*both(GENIOHYOID), *both(MYLOHYOID)], 56, 5, tissues.MUSCLE)
    lay(both(PAROTID), 10 - 50 * person.fatness, 12, tissues.GLAND, 25)
    lay(both(SUBMANDIBULAR), 45, 7, tissues.GLAND, 12)
    lay(both(CONSTRICTOR), 50, 6, tissues.MUSCLE)
    gullet = EllipticTube.of(*GULLET)
    lay([gullet], 42, 6, tissues.SOFT)
    lay(_nodes(rng), 45, 5, tissues.SOFT)

    open_mouth = float(rng.uniform(0.75, 1.2))
    lumen = EllipticTube.of(*LUMEN).varied((float(rng.normal(0, 1)), 0), 1.0)
    throat = lumen.sections.copy()
    throat[throat[:, 0] < 4.5, 3:5] *= open_mouth
    lumen = EllipticTube(throat)
    found = lumen.distance(neck, margin=12)
    if found is None:
        return
    box, air = found
    wall = np.interp(neck.levels[box[2]], list(WALL), list(WALL.values())).astype(np.float32)
    coarse.paint(box, air - wall, 48 + 7 * grain(air.shape, rng), tissues.SOFT)
    lay([*both(THYROID), EllipticTube.of(*ISTHMUS)], 105, 8, tissues.GLAND)
    _paint_cartilage(coarse, neck, person, rng, both)
    coarse.paint(box, air, -1000.0, tissues.AIR)
    for side in (*both(PIRIFORM), *both(VALLECULA)):
        found = side.distance(neck)
        if found is not None:
            coarse.paint(*found, -1000.0, tissues.AIR)
    found = EllipticTube.of(*EPIGLOTTIS).distance(neck)
    if found is not None:
        coarse.paint(*found, 55.0, tissues.CARTILAGE)
    if rng.random() < 0.35:
        bubble = gullet.varied(swell=float(rng.uniform(0.2, 0.4))).sections
        found = EllipticTube(bubble[bubble[:, 0] > 6.2]).distance(neck)
        if found is not None:
            coarse.paint(*found, -850.0, tissues.AIR)


def _nodes(rng: np.random.Generator) -> list[EllipticTube]:
    nodes = []
    for level, u, v in NODES:
        for side in (-1, 1):
            if rng.random() < 0.7:
                a, b = rng.uniform(2, 5), rng.uniform(1.5, 3)
                spot = (side * u + rng.normal(0, 2), v + rng.normal(0, 2))
                at = level + rng.normal(0, 0.15)
                ends = [
                    (at + d, *spot, a * f, b * f, rng.uniform(0, 180)) for d, f in ((-0.25, 0.4), (0, 1), (0.25, 0.4))
                ]
                nodes.append(EllipticTube.of(*ends))
    return nodes


def _paint_cartilage(coarse: CoarseGrid, neck: Neck, person: Person, rng: np.random.Generator, both: Callable) -> None:
    """Thyroid and cricoid cartilage turn to bone in patches with age; the hyoid is bone."""
    old = np.clip((person.age - 25) / 45, 0, 1)
    plates = union(neck, both(THYROID_CARTILAGE, 0.5))
    ring = EllipticTube.of(*CRICOID).distance(neck)
    if ring is not None:
        ring = ring[0], np.abs(ring[1] + 1.8) - np.float32(1.7)
    for found in (plates, ring):
        if found is None:
            continue
        box, distance = found
        patches = smooth_field(distance.shape, 3.5 / coarse.step, rng) + 2.2 * old - 1.2
        hu = 85 + 420 * old * np.clip(patches, 0, 1.6)
        coarse.paint(box, distance, hu.astype(np.float32), tissues.CARTILAGE)
    found = union(neck, both(HYOID, 0.5))
    if found is not None:
        box, distance = found
        coarse.paint_bone(box, distance, 1.0, 700.0, 280.0, tissues.BONES["hyoid"])
