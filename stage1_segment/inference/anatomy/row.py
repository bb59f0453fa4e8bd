"""Whether the labelled vertebrae make a row that a neck can have: sizes, distances and order of neighbours."""

from itertools import pairwise

import numpy as np

from common.labels import CLASS_NAMES, LEVEL_IDS
from common.masks.values import boxes_of, middle_of
from common.resample import canonical
from common.volume import Volume
from stage1_segment.inference.mask_report import RELATIVE_VOLUME

MOST_UNLIKE = 2.2
"""Times that a level's volume may be its row's median, each against `RELATIVE_VOLUME`."""
PITCH_MM = (9.0, 32.0)
"""Between the middles of neighbouring levels: 17 to 25 mm on average, SD 1.6 to 2.7 mm."""


def row_contradictions(mask: Volume) -> tuple[str, ...]:
    """What no neck has, a sentence each. mask (X, Y, Z) of `labels.CLASS_NAMES`, any orientation; levels that the
    scan's edge cuts are compared with nobody."""
    labels = canonical(mask)
    boxes = boxes_of(labels.array, max(LEVEL_IDS.values()))
    seen = {number: box for number, box in enumerate(boxes, start=1) if box is not None}
    if not seen:
        return ()
    found = []
    missing = [n for n in range(min(seen), max(seen)) if n not in seen]
    if missing:
        names = ", ".join(CLASS_NAMES[n] for n in missing)
        found.append(f"{names} isn't labelled between {CLASS_NAMES[min(seen)]} and {CLASS_NAMES[max(seen)]}")
    sizes, middles = {}, {}
    for number, box in seen.items():
        inside = labels.array[box] == number
        middles[number] = labels.grid.to_world(middle_of(inside) + [s.start for s in box])
        if not _at_edge(box, labels.array.shape):
            ml = inside.sum() * np.prod(labels.spacing) / 1000
            sizes[number] = (ml, ml / RELATIVE_VOLUME[CLASS_NAMES[number]])
    return (*found, *_unlike(sizes), *_spacing(middles))


def _unlike(sizes: dict[int, tuple[float, float]]) -> list[str]:
    """Levels whose volume isn't that of the median one of their row."""
    if len(sizes) < 3:
        return []
    usual = float(np.median([unit for _, unit in sizes.values()]))
    return [
        f"{CLASS_NAMES[number]} has {ml:.0f} ml, {unit / usual:.1f} times what the others let expect"
        for number, (ml, unit) in sizes.items()
        if not 1 / MOST_UNLIKE < unit / usual < MOST_UNLIKE
    ]


def _spacing(middles: dict[int, np.ndarray]) -> list[str]:
    found = []
    for a, b in pairwise(sorted(middles)):
        apart = float(np.linalg.norm(middles[a] - middles[b]))
        if b == a + 1 and not PITCH_MM[0] <= apart <= PITCH_MM[1]:
            found.append(f"the middles of {CLASS_NAMES[a]} and {CLASS_NAMES[b]} lie {apart:.0f} mm apart")
    return found


def _at_edge(box: tuple[slice, ...], shape: tuple[int, ...]) -> bool:
    return any(s.start == 0 or s.stop == n for s, n in zip(box, shape))
