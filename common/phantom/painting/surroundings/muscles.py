"""The muscles: bundles that share the space among them, with fat planes where two meet."""

import numpy as np

from common.phantom import tissues
from common.phantom.anatomy.person import Person
from common.phantom.painting.surroundings.coarse_grid import CoarseGrid
from common.phantom.painting.surroundings.elliptic_tube import EllipticTube, pair
from common.phantom.painting.surroundings.neck import Neck
from common.phantom.painting.surroundings.texture import grain, smooth_field

MUSCLES = {
    # sections of the right side: level, u, v, half axes, direction (see EllipticTube); rounded, from measuring one neck
    # and the proportions of axial CT, where muscles are fuller than in dissected specimens
    "sternocleidomastoid": (
        (-0.6, 57, -24, 11, 4, 75),
        (0, 56, -16, 14, 4, 83),
        (1, 52, -5, 14.5, 4.7, 101),
        (2, 47, 5, 15, 6, 105),
        (3, 43, 11, 15, 7, 107),
        (4, 40, 16, 15, 8, 110),
        (5, 37, 19, 15, 8, 117),
        (6, 34, 26, 15.5, 7.5, 130),
        (7, 31, 34, 16.5, 6.5, 143),
        (8, 30, 46, 18, 5.5, 155),
        (9, 32, 62, 22, 4.5, 167),
    ),
    "splenius capitis": (
        (-0.4, 54, -30, 10, 2.5, 75),
        (0.5, 47, -30, 16, 3.5, 68),
        (1.5, 38, -31, 17, 4.5, 62),
        (2.5, 32, -31, 18, 5, 54),
        (3.5, 27, -33, 18, 5, 46),
        (5, 19, -41, 20, 5, 36),
        (6, 16, -46, 19, 5, 31),
        (7, 13, -50, 17, 4.5, 31),
        (8, 11, -55, 14, 4.5, 30),
        (9.5, 7, -60, 9, 3.5, 23),
    ),
    "semispinalis capitis": (
        (-0.3, 15, -66, 14, 4, 12),
        (0.5, 17, -56, 18, 6, 16),
        (1, 17, -50, 17, 7, 18),
        (2, 15, -45, 15, 7.5, 25),
        (3, 14, -42, 14.5, 7.5, 32),
        (4, 14, -41, 14, 7, 38),
        (5, 16, -41, 13, 6.5, 45),
        (6, 20, -38, 12, 5, 50),
        (7, 24, -36, 10, 4, 50),
        (9, 26, -38, 6, 3, 45),
    ),
    "semispinalis cervicis": (
        (1.7, 10, -36, 7, 6, 30),
        (2.5, 12, -33, 11, 6.5, 35),
        (3.5, 12, -31, 11.5, 7, 40),
        (5, 12, -33, 12, 7, 43),
        (6.5, 12, -36, 13, 7, 43),
        (8, 14, -40, 14, 6, 42),
        (10, 16, -42, 12, 5, 38),
        (11, 18, -44, 10, 5, 38),
    ),
    "multifidus": (
        (1.8, 15, -22, 8, 6, 30),
        (3, 15, -21, 9, 5.5, 25),
        (5, 15, -22, 10, 5.5, 28),
        (7, 17, -24, 11, 6, 30),
        (10, 16, -28, 12, 6, 30),
        (11, 16, -30, 12, 6, 30),
    ),
    "longissimus": (
        (-0.5, 54, -9, 4, 2.5, 90),
        (1, 38, -6, 5, 3, 75),
        (2, 33, -8, 6, 4, 60),
        (3, 30, -12, 7, 4, 60),
        (4, 29, -17, 9, 4, 70),
        (5, 28, -20, 11, 4, 80),
        (6, 29, -24, 12, 4.5, 82),
        (7, 31, -28, 10, 5, 70),
        (8, 33, -33, 8, 5, 45),
        (10, 33, -38, 9, 6, 25),
        (11, 32, -42, 9, 6, 20),
    ),
    "levator scapulae": (
        (1.2, 37, -5, 5, 3, 100),
        (2, 38, -7, 9, 4.5, 110),
        (3, 38, -10, 12, 5, 106),
        (4, 37, -13, 13, 5.5, 98),
        (5, 37, -17, 14, 6, 90),
        (6, 38, -25, 14, 6, 76),
        (7, 41, -33, 14, 5.5, 58),
        (8, 49, -40, 13, 5, 40),
        (9, 60, -42, 15, 5, 24),
        (9.8, 62, -43, 8, 4, 20),
    ),
    "trapezius low": (
        (5.2, 30, -52, 16, 2, 40),
        (6, 34, -50, 30, 5, 42),
        (7, 44, -48, 42, 8, 38),
        (8, 70, -40, 58, 11, 22),
        (9, 72, -52, 70, 10, 5),
        (10, 60, -62, 58, 8, -5),
        (11.5, 56, -66, 54, 8, -8),
    ),
    "supraspinatus": (
        (8.4, 118, -8, 14, 4, 20),
        (9, 112, -10, 40, 12, 15),
        (10, 100, -26, 38, 14, 20),
        (11, 96, -34, 30, 10, 20),
    ),
    "rhomboid": ((7.6, 16, -60, 8, 3, 20), (9, 28, -58, 26, 4, 12), (11, 44, -58, 30, 5, 5)),
    "scalenus anterior": (
        (3.6, 24, 0, 3, 2, 60),
        (4.5, 27, 2, 5, 3, 50),
        (5.5, 29, 5, 7, 4, 42),
        (6.5, 32, 9, 8, 5, 40),
        (7.5, 38, 16, 7, 5, 32),
        (8.5, 46, 23, 5, 3, 10),
    ),
    "scalenus medius": (
        (2, 27, -4, 3, 2, 0),
        (3, 29, -4, 6, 3.5, 150),
        (4, 32, -4, 8, 4.5, 160),
        (5, 35, -4, 9, 5.5, 170),
        (6, 38, -4, 11, 7.5, 20),
        (7, 41, -3, 14, 9, 45),
        (8, 46, 1, 13, 8, 70),
        (8.7, 52, 8, 7, 4, 80),
    ),
    "scalenus posterior": (
        (5, 31, -9, 4, 3, 0),
        (6, 36, -12, 9, 5, 15),
        (7, 43, -14, 12, 6.5, 25),
        (8, 56, -14, 11, 5, 30),
        (8.9, 68, -12, 8, 3, 50),
    ),
    "iliocostalis": (
        (6, 38, -22, 6, 3, 80),
        (7, 40, -26, 9, 4, 70),
        (8, 46, -31, 11, 5, 50),
        (9.5, 54, -38, 14, 5, 30),
        (11, 60, -44, 14, 5, 20),
    ),
    "serratus": (
        (8.6, 66, 0, 8, 3, 80),
        (9.3, 84, 0, 18, 5, 80),
        (10, 98, 4, 28, 6, 80),
        (12, 116, 10, 36, 7, 80),
    ),
    "longus": (
        (0, 8, 13, 6, 3, 160),
        (1, 12, 14.5, 8, 3.5, 163),
        (2, 14, 14.5, 9, 4.2, 160),
        (3, 14.5, 12, 9.5, 4.4, 156),
        (4, 15, 11, 9.5, 4.2, 156),
        (5, 15, 10, 9.5, 4, 158),
        (6, 15, 10, 9, 3.6, 160),
        (7, 13.5, 10.5, 7.5, 3.2, 165),
        (8, 12, 11, 6.5, 2.8, 160),
        (9.5, 9, 12, 4, 2, 160),
    ),
    "obliquus inferior": ((1.2, 33, -12, 6, 4, 64), (2, 25, -20, 10, 6, 47), (2.6, 14, -29, 8, 5, 34)),
    "rectus posterior major": (
        (0, 28, -46, 6, 3, 60),
        (0.5, 24, -43, 10, 6, 62),
        (1, 19, -40, 9, 6, 60),
        (1.6, 14, -37, 8, 5, 56),
        (2.2, 8, -36, 5, 4, 53),
    ),
    "rectus posterior minor": ((-0.1, 8, -54, 8, 3, 3), (0.5, 8, -47, 8, 5, 5), (1, 5, -40, 5, 4, 170)),
    "obliquus superior": ((-0.3, 36, -44, 9, 3, 55), (0.4, 38, -27, 11, 4.5, 72), (0.9, 38, -12, 5, 4, 65)),
    "rectus lateralis": ((-0.1, 33, -3, 6, 4, 130), (0.8, 34, -3, 7, 4, 140)),
    "straps": (
        (3.7, 9, 39, 8, 2, 140),
        (4.5, 10, 37, 10, 2.2, 143),
        (5.5, 11, 32, 11, 2.6, 147),
        (6.5, 12, 32.5, 11, 3, 150),
        (7.5, 13, 37, 11, 3.2, 155),
        (8.5, 14, 46, 12, 3, 165),
        (10, 12, 60, 10, 3, 178),
    ),
    "omohyoid": (
        (3.9, 15, 37, 5, 2, 115),
        (5, 19, 29, 5, 2.4, 118),
        (6, 23, 24, 5, 2.6, 145),
        (7, 33, 22, 5, 2.2, 150),
        (7.6, 46, 18, 5, 2, 130),
    ),
    "digastric": (
        (0, 48, -2, 7, 3.5, 108),
        (1, 38, 10, 6, 4, 110),
        (2, 29, 22, 5, 3.5, 115),
        (3, 20, 36, 3, 2, 116),
        (3.5, 8, 62, 11, 4, 100),
    ),
    "pectoralis": ((9.3, 76, 58, 40, 5, 147), (10, 90, 64, 44, 9, 153), (11.5, 112, 64, 38, 10, 150)),
    "deltoid": ((8.4, 140, 12, 18, 5, 0), (9, 160, 14, 40, 10, 70), (10.5, 190, 20, 45, 14, 80)),
    "intercostal": ((8.8, 52, 6, 9, 5, 40), (9.6, 66, 8, 12, 5, 60)),
}


def paint_muscles(coarse: CoarseGrid, neck: Neck, person: Person, skin: np.ndarray, fat: np.ndarray) -> None:
    """`skin`, `fat`: what `paint_skin_and_fat` returned."""
    rng = person.stream("muscles")
    bulk = float(np.exp(rng.normal(0.03, 0.07)) * (1.08 - 0.0022 * max(person.age - 40, 0)))
    nearest = np.full(coarse.shape, 9, np.float32)
    second = nearest.copy()
    for sections in MUSCLES.values():
        for bundle in pair(EllipticTube.of(*sections), rng, person.asymmetry):
            for box, distance in bundle.varied(swell=bulk).pieces(neck):
                first, other = nearest[box], second[box]
                np.minimum(other, np.maximum(first, distance), out=other)
                np.minimum(first, distance, out=first)

    _, v = neck.uv
    fill = np.interp(neck.levels, [-1, 1, 3, 7, 9, 11], [1.2, 1.8, 2.4, 2.6, 2.0, 1.5]) * (1.25 - 0.7 * person.fatness)
    nearest -= fill.astype(np.float32)
    second -= fill.astype(np.float32)
    below_fat = skin + fat * np.where(v < -20, np.float32(1.35), np.float32(0.85))
    trapezius = np.abs(below_fat + 3.2) - np.interp(neck.levels, [-1.5, 0, 3, 6, 9], [0.2, 1.2, 1.6, 2.4, 4]).astype(
        np.float32
    )
    behind = np.interp(neck.levels, [-1, 2, 5, 7, 9], [-52, -46, -30, -15, 0]).astype(np.float32)
    trapezius = np.maximum(trapezius, v - behind)
    platysma = np.abs(skin + 0.7 * fat + 1.2) - np.float32(0.8)
    platysma = np.maximum(platysma, np.float32(12) - v)
    platysma = np.where((neck.levels > 1.2) & (neck.levels < 9), platysma, 9)
    np.minimum(second, np.maximum(nearest, trapezius), out=second)
    np.minimum(nearest, trapezius, out=nearest)
    septum = np.float32(0.3 + 0.75 * person.fatness) + 0.4 * smooth_field(coarse.shape, 9 / coarse.step, rng)
    muscle = np.maximum(nearest, septum - 0.5 * (second - nearest))
    muscle = np.maximum(muscle, below_fat + 0.8)
    muscle = np.minimum(muscle, platysma)
    wasting = float(np.clip(0.25 + person.age / 100 + 0.4 * person.fatness, 0.3, 1.4))
    streaks = smooth_field(coarse.shape, np.array([2.4, 2.4, 9.0]) / coarse.step, rng)
    marbling = np.clip(streaks - 1.25 + 0.45 * wasting, 0, 1.2)
    hu = 57 + 6 * grain(coarse.shape, rng) + 4 * streaks - 75 * wasting * marbling
    coarse.paint(coarse.whole, muscle, hu, tissues.MUSCLE)
