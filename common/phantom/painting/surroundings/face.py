"""Jaws, teeth, palate, nose and sinuses, and the chewing muscles."""

from itertools import pairwise

import numpy as np

from common.phantom import tissues
from common.phantom.anatomy.column import Column
from common.phantom.anatomy.person import Person
from common.phantom.painting.surroundings.coarse_grid import CoarseGrid
from common.phantom.painting.surroundings.head_frame import HeadFrame
from common.phantom.painting.surroundings.shapes import capsule, ellipsoid, smooth_intersection, smooth_union
from common.phantom.painting.surroundings.texture import grain, smooth_field

LOWER_ARCH = ((2.5, 96), (7.5, 94), (12.5, 90), (16.5, 84), (20, 77.5), (23, 69), (26, 59), (28, 49))
UPPER_ARCH = ((4, 99), (10.5, 97), (16, 92.5), (20, 86), (22.5, 79.5), (25, 71.5), (27, 62), (28, 53))
TOOTH_WIDTH = (2.6, 2.9, 3.5, 3.5, 3.5, 5.0, 5.0, 4.6)
"""Half widths, central incisor to third molar."""
BODY = ((0, 92, -36), (10, 90, -35), (20, 82, -33.5), (28, 68, -31), (33.5, 54, -28), (38, 38, -24), (41.5, 24, -17))
RAMUS = ((42, 20, -14), (43.5, 21, 0), (45, 20, 14), (47.5, 16, 27), (49.5, 13, 35))
CORONOID = ((41, 34, -8), (43, 37, 8), (45, 39, 22), (46, 38, 30))


def paint_face(coarse: CoarseGrid, column: Column, person: Person) -> None:
    rng = person.stream("face")
    head = HeadFrame.of(column, person)
    box = head.box(coarse, (-74, 2, -58), (74, 122, 75))
    if box is None:
        return
    gape = float(rng.uniform(0, 2.5))
    points = head.points(coarse, box)
    shape = points[0].shape
    mirrored = [np.abs(points[0]), points[1], points[2]]
    grainy, cloudy = grain(shape, rng), smooth_field(shape, 2.6 / coarse.step, rng)

    _paint_mouth(coarse, box, points, grainy, cloudy, rng)
    _paint_chewing_muscles(coarse, box, mirrored, 56 + 5 * grainy - 18 * np.clip(cloudy - 0.6, 0, 2))
    _paint_nose_and_sinuses(coarse, box, points, mirrored, grainy, cloudy, rng)
    marrow = np.clip(300 + 110 * cloudy + 110 * grainy, -20, 1000).astype(np.float32)
    coarse.paint_bone(box, _mandible(mirrored, gape), 2.0, 1350.0, marrow, tissues.BONES["mandible"])
    _paint_teeth(coarse, head, person, rng, gape)


def _mandible(mirrored: list[np.ndarray], gape: float) -> np.ndarray:
    """Horseshoe body, higher than thick; ramus, a plate; condyle and coronoid process."""
    x, y, z = mirrored
    lowered = [x, y, z + np.float32(gape) * np.clip(y / 60, 0, 1.4)]
    flat = [lowered[0], lowered[1], lowered[2] * np.float32(0.46)]
    body = _course(flat, BODY, (0.46,), 5.6)
    chin = ellipsoid(lowered, (0, 96, -42), (15, 6, 9))
    plate = [lowered[0] * np.float32(2.1), lowered[1], lowered[2]]
    ramus = np.minimum(_course(plate, RAMUS, (2.1, "x"), 10.5), _course(plate, CORONOID, (2.1, "x"), 6.0)) * np.float32(
        0.6
    )
    condyle = ellipsoid(lowered, (50.5, 13, 37), (9.5, 4.5, 5.5))
    return smooth_union(smooth_union(smooth_union(body, ramus, 5), condyle, 3), chin, 4)


def _course(points: list[np.ndarray], course: tuple, squeeze: tuple, radius: float) -> np.ndarray:
    """A rod along a course in a squeezed space: it gets a flat section."""
    at = np.array(course, float)
    at[:, 0 if len(squeeze) > 1 else 2] *= squeeze[0]
    out = capsule(points, at[0], at[1], radius)
    for start, end in pairwise(at[1:]):
        np.minimum(out, capsule(points, start, end, radius), out=out)
    return out


def _paint_chewing_muscles(coarse: CoarseGrid, box: tuple, mirrored: list[np.ndarray], hu: np.ndarray) -> None:
    masseter = (
        capsule([mirrored[0] * 1.7, mirrored[1], mirrored[2]], (51 * 1.7, 27, -14), (54 * 1.7, 42, 24), 13, 13) * 0.7
    )
    medial = (
        capsule([mirrored[0] * 1.5, mirrored[1], mirrored[2]], (36 * 1.5, 25, -14), (22 * 1.5, 38, 22), 10, 9) * 0.75
    )
    lateral = capsule(mirrored, (22, 42, 28), (46, 16, 34), 8, 6)
    temporal = ellipsoid(mirrored, (52, 40, 38), (7, 15, 30))
    flat = [mirrored[0] * 0.45, mirrored[1], mirrored[2]]
    velum = np.minimum(capsule(flat, (0, 50, 6), (0, 35, 2), 3.5), capsule(flat, (0, 35, 2), (0, 27, -13), 3.5, 2.6))
    lips = tube_ring(mirrored)
    for muscle in (masseter, medial, lateral, temporal, velum, lips):
        coarse.paint(box, muscle.astype(np.float32), hu, tissues.MUSCLE)


def _paint_mouth(
    coarse: CoarseGrid,
    box: tuple,
    points: list[np.ndarray],
    grainy: np.ndarray,
    cloudy: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Gums, floor of the mouth and tongue, with a little air above the tongue in some."""
    hu = (52 + 5 * grainy - 9 * np.clip(cloudy, 0, 2)).astype(np.float32)
    gums = ellipsoid(points, (0, 58, -17), (32, 43, 27))
    floor = ellipsoid(points, (0, 62, -29), (29, 33, 14))
    gums = np.maximum(np.minimum(gums, floor), 30 - points[1])
    coarse.paint(box, gums, hu, tissues.SOFT)
    if rng.random() < 0.55:
        thick = float(rng.uniform(0.8, 3.0))
        dome = ellipsoid(points, (0, 52, -14), (24, 34, 18.5))
        gap = np.maximum(
            np.maximum(np.abs(dome), -9 - points[2]) - thick / 2 + 0.35 * cloudy,
            np.maximum(np.abs(points[0]) - 17, 36 - points[1]),
        )
        coarse.paint(box, gap.astype(np.float32), -1000.0, tissues.AIR)


def tube_ring(mirrored: list[np.ndarray]) -> np.ndarray:
    """Buccinator and the ring muscle of the mouth: a thin sheet round the teeth."""
    x, y, z = mirrored
    arch = ellipsoid([x, y, z * 0], (0, 52, 0), (38, 56, 1e3))
    return np.maximum(np.abs(arch + 1) - 2.0, np.maximum(np.abs(z + 14) - 22, 40 - y))


def _paint_nose_and_sinuses(
    coarse: CoarseGrid,
    box: tuple,
    points: list[np.ndarray],
    mirrored: list[np.ndarray],
    grainy: np.ndarray,
    cloudy: np.ndarray,
    rng: np.random.Generator,
) -> None:
    x, y, z = points
    sinus = _sinus(mirrored) + 1.2 * cloudy
    height = np.abs(z - 31) - 20
    alveolus = ellipsoid([x, y, z], (0, 63, -1), (33, 41, 13))
    alveolus = np.maximum(alveolus, -ellipsoid([x, y, z], (0, 55, -6), (22, 35, 12)))
    alveolus = np.maximum(np.maximum(alveolus, 44 - y), z - 8.5)
    pterygoid = np.minimum(
        capsule(mirrored, (12, 42, 2), (14, 42, 30), 1.6), capsule(mirrored, (16, 41, 2), (24, 36, 28), 1.6)
    )
    zygoma = capsule(mirrored, (40, 70, 28), (62, 40, 31), 4.5, 2.8)
    walls = np.maximum(sinus - 2.2, height - 3)
    solid = np.minimum(np.minimum(smooth_union(walls, alveolus, 4), pterygoid), zygoma)
    coarse.paint_bone(
        box,
        solid,
        1.5,
        950.0,
        np.clip(330 + 110 * cloudy + 60 * grainy, 0, 900).astype(np.float32),
        tissues.BONES["skull"],
    )
    mucosa = ellipsoid(points, (0, 70, 30), (15, 34, 22))
    coarse.paint(box, np.maximum(mucosa, 10 - z), 45 + 6 * grainy, tissues.SOFT)
    sinus = np.maximum(sinus, height)
    polyp = float(rng.choice([0, rng.uniform(13, 24)], p=[0.7, 0.3]))
    coarse.paint(box, sinus, 30.0, tissues.SOFT)
    coarse.paint(box, np.maximum(sinus + 0.8, polyp - z), -1000.0, tissues.AIR)
    bend = 2.5 * float(rng.normal(0, 0.7))
    septum = np.abs(x - bend * np.sin(y / 22)) - 1.2
    turbinates = np.minimum(
        capsule(mirrored, (8.5, 54, 17), (8.5, 90, 19), 4.0), capsule(mirrored, (8, 54, 32), (8, 86, 34), 3.2)
    )
    air = np.maximum(np.maximum(mucosa + 2.0, 12.5 - z), -np.minimum(septum, turbinates))
    coarse.paint(box, air.astype(np.float32), -1000.0, tissues.AIR)
    coarse.paint_bone(
        box,
        np.maximum(np.maximum(np.abs(septum + 1.2) - 0.6, mucosa), 12 - z),
        0.4,
        450.0,
        300.0,
        tissues.BONES["skull"],
    )


def _sinus(mirrored: list[np.ndarray]) -> np.ndarray:
    """A rounded triangle in axial section: against the nose, the cheek and the infratemporal space."""
    x, y, _ = mirrored
    inner, front, back = 15.5 - x, 0.71 * x + 0.71 * y - 75.5, 0.62 * x - 0.78 * y + 25.5
    return smooth_intersection(smooth_intersection(inner, front, 9), back, 9)


def _paint_teeth(coarse: CoarseGrid, head: HeadFrame, person: Person, rng: np.random.Generator, gape: float) -> None:
    """Crowns of enamel, roots of dentine; some are missing, with `metal` some are filled."""
    missing = 0.03 + 0.5 * np.clip((person.age - 45) / 50, 0, 1) ** 1.5
    fine = CoarseGrid(coarse.canvas, 0.5)
    for arch, up, bite in ((LOWER_ARCH, -1, -18.5 - gape), (UPPER_ARCH, 1, -16.5)):
        for (u, v), half in zip(arch, TOOTH_WIDTH):
            for side in (-1, 1):
                if rng.random() < missing:
                    continue
                filled = person.metal and half > 3.2 and rng.random() < 0.35
                slope = 0.06 * (v - 70)
                top = np.array([side * u, v + 0.5 * rng.normal(), bite + (slope * -0.25)])
                root = np.add(top, (-side * 0.06 * u, -3.0 if v > 80 else 0, up * 19))
                neck = top + (root - top) * 0.36
                centre = top + (neck - top) * 0.45
                low, high = np.minimum(top, root) - half - 2, np.maximum(top, root) + half + 2
                box = head.box(fine, low, high)
                if box is None:
                    continue
                points = head.points(fine, box)
                dentine = capsule(points, centre, root, half * 0.8, 1.1)
                fine.paint(box, capsule(points, centre, root, half * 0.8 + 0.5, 1.6), 250.0, tissues.SOFT)
                fine.paint(box, dentine, 1450.0, tissues.TEETH)
                crown = ellipsoid(points, centre, (half, half * 1.08, 4.6))
                fine.paint(box, crown, 2450.0, tissues.TEETH)
                fine.paint(box, crown + 1.4, 1500.0, tissues.TEETH)
                pulp = capsule(points, centre, root, 0.7, 0.25)
                fine.paint(box, pulp, 300.0)
                if filled:
                    fine.paint(
                        box, ellipsoid(points, np.add(top, (0, 0, up * 1.5)), (half * 0.7, half * 0.7, 2.0)), 9000.0
                    )
