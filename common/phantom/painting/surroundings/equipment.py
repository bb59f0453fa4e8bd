"""What the patient lies on and wears: table, head rest, collar, tubes."""

import numpy as np

from common.phantom.anatomy.person import Person
from common.phantom.painting.surroundings.coarse_grid import CoarseGrid
from common.phantom.painting.surroundings.elliptic_tube import EllipticTube
from common.phantom.painting.surroundings.neck import Neck


def paint_equipment(coarse: CoarseGrid, neck: Neck, person: Person, skin: np.ndarray) -> None:
    """Only over air, so that the body hides what it presses on. `skin`: distance to the skin on the whole coarse."""
    rng = person.stream("equipment")
    x, y, _ = coarse.axes
    outside = 2.5 - skin
    lowest = np.quantile(np.nonzero((skin < 0).any(axis=(0, 2)))[0], 0.02) if (skin < 0).any() else 0
    top = float(y.ravel()[int(lowest)]) - float(rng.uniform(2, 12))
    table = (y - top) + (x - float(neck.world([5], [0], [0])[0, 0])) ** 2 * np.float32(-1 / 900)
    coarse.paint(coarse.whole, np.maximum(np.abs(table + 10) - 9, outside), -930.0)
    coarse.paint(coarse.whole, np.maximum(np.abs(table) - 0.9, outside), -60.0)
    coarse.paint(coarse.whole, np.maximum(np.abs(table + 20) - 0.9, outside), -60.0)
    if rng.random() < 0.45:
        _paint_collar(coarse, neck, rng, skin)


def _paint_collar(coarse: CoarseGrid, neck: Neck, rng: np.random.Generator, skin: np.ndarray) -> None:
    """A foam shell with a thin plastic layer from the chin to the collar bones."""
    gap, foam = float(rng.uniform(1, 5)), float(rng.uniform(5, 9))
    ends = np.where((neck.levels > 2.8) & (neck.levels < 7.6), 0, 9).astype(np.float32)
    coarse.paint(coarse.whole, np.maximum(np.abs(skin - gap - foam / 2) - foam / 2, ends), -945.0)
    coarse.paint(coarse.whole, np.maximum(np.abs(skin - gap - foam - 0.8) - 0.8, ends), -60.0)


def paint_tubes(coarse: CoarseGrid, neck: Neck, person: Person) -> None:
    """In some a breathing tube in the windpipe, in some a feeding tube in the gullet."""
    rng = person.stream("tubes")
    draw = rng.random()
    if draw < 0.10:
        sections = ((1.4, 0, 26, 1, 1, 0), (4, 0, 24, 1, 1, 0), (5, 0, 24, 1, 1, 0), (9, 0, 25, 1, 1, 0))
        _paint_hose(coarse, neck, EllipticTube.of(*sections), 5.2, 3.8)
    if draw < 0.08 or draw > 0.96:
        gullet = (
            (-1, 5, 40, 1, 1, 0),
            (1, 4, 20, 1, 1, 0),
            (4, 4, 14, 1, 1, 0),
            (6, 0, 10, 1, 1, 0),
            (9, -3, 13, 1, 1, 0),
            (12, -3, 14, 1, 1, 0),
        )
        _paint_hose(coarse, neck, EllipticTube.of(*gullet), 2.6, 1.3)


def _paint_hose(coarse: CoarseGrid, neck: Neck, course: EllipticTube, outer: float, inner: float) -> None:
    found = course.varied(swell=outer).distance(neck)
    if found is not None:
        box, distance = found
        coarse.paint(box, distance, 180.0)
        coarse.paint(box, distance + (outer - inner), -1000.0)
