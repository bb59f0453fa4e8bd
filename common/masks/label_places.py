"""What a mask's numbers can mean: where each label lies, and whether a scheme makes a neck of them."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from common.labels import LEVELS, THORACIC
from common.masks.schemes import SCHEMES, level_values, unexpected
from common.masks.values import boxes_of
from common.volume import Volume

LEAST_MM3 = 300.0
"""A label with less than this is a speck and has no say."""
TALLEST_MM = 75.0
LARGEST_MM3 = 60e3
"""Of one cervical vertebra, however generously drawn; tall ones are C2 and C7 (docs/masks.md)."""
LEAST_STEP_MM = 5.0
"""From a level to the next; labels that lie nearer have no order."""
UNORDERED_MM = 5.0
LARGEST_TILT = np.cos(np.radians(65))
SMALL_PITCH_MM = (8.0, 22.0)
SMALL_MM3 = 22e3
"""Of cervical levels, in median; thoracic ones lie further apart and are larger."""
MOST_POINTS = 20_000


@dataclass(frozen=True)
class Label:
    """Where a label lies: its volume mm3, `middle` (3,) world RAS mm (medians), lowest and highest world z in mm, but
    for 1 % at each end."""

    volume: float
    middle: np.ndarray
    low: float
    high: float

    @property
    def height(self) -> float:
        return self.high - self.low


def measure(mask: Volume) -> dict[int, Label]:
    """Value -> its place, of each value (whole numbers) that some scheme has a vertebra for; no specks."""
    named = sorted({value for table in SCHEMES.values() for value, ours in table.items() if ours})
    boxes = boxes_of(mask.array, named[-1])
    cell = abs(float(np.linalg.det(mask.affine[:3, :3])))
    found = {}
    for value in named:
        if (box := boxes[value - 1]) is None:
            continue
        inside = np.flatnonzero(mask.array[box] == value)
        if len(inside) * cell < LEAST_MM3:
            continue
        index = np.stack(np.unravel_index(inside[:: -(-len(inside) // MOST_POINTS)], mask.array[box].shape), axis=-1)
        places = mask.grid.to_world(index + [s.start for s in box])
        low, high = np.quantile(places[:, 2], [0.01, 0.99])
        found[value] = Label(len(inside) * cell, np.median(places, axis=0), float(low), float(high))
    return found


def levels_by(scheme: str, labels: dict[int, Label]) -> dict[int, Label]:
    """Level id 1..7 -> its label, as the scheme reads them, from C1 down."""
    values = level_values(scheme)
    return {level: labels[values[level]] for level in sorted(values) if values[level] in labels}


def column_by(scheme: str, labels: dict[int, Label]) -> dict[int, Label]:
    """The same, with the highest thoracic vertebra as 8."""
    thoracic = [label for value, label in labels.items() if SCHEMES[scheme].get(value) == THORACIC]
    levels = levels_by(scheme, labels)
    return {**levels, THORACIC: max(thoracic, key=lambda label: label.middle[2])} if thoracic and levels else levels


def too_large(levels: dict[int, Label]) -> str | None:
    """What a level is too large for, in words; None when all could be one vertebra."""
    for level, label in levels.items():
        if level != THORACIC and (label.height > TALLEST_MM or label.volume > LARGEST_MM3):
            return (
                f"what it calls {_name(level)} is {label.height:.0f} mm tall and holds {label.volume / 1000:.0f} ml, "
                "more than one vertebra"
            )
    return None


def goes_up(levels: dict[int, Label]) -> str | None:
    """How the row of levels as a whole runs up or aside, in words; None when it goes down."""
    if len(levels) < 2:
        return None
    (first, upper), (last, lower) = min(levels.items()), max(levels.items())
    way = lower.middle - upper.middle
    length = float(np.linalg.norm(way))
    if length < LEAST_STEP_MM * (len(levels) - 1):
        return None
    if way[2] >= LEAST_STEP_MM:
        return f"{_name(last)} lies {way[2]:.0f} mm above {_name(first)}"
    if len(levels) > 2 and -way[2] < LARGEST_TILT * length:
        return f"from {_name(first)} to {_name(last)} it runs aside ({length:.0f} mm, {-way[2]:.0f} of them down)"
    return None


def unordered(levels: dict[int, Label]) -> str | None:
    """Two neighbours in the row that lie the wrong way round, in words; None when every step goes down the spine."""
    middles = [label.middle for label in levels.values()]
    if len(middles) < 2:
        return None
    way = middles[-1] - middles[0]
    length = float(np.linalg.norm(way))
    way = way / length if length > LEAST_STEP_MM * (len(middles) - 1) else np.array([0.0, 0.0, -1.0])
    for (first, upper), (last, lower) in pairwise(levels.items()):
        step = float((lower.middle - upper.middle) @ way)
        if step < -UNORDERED_MM:
            return f"{_name(last)} lies {-step:.0f} mm above {_name(first)}"
    return None


def looks_cervical(scheme: str, labels: dict[int, Label]) -> bool:
    """Whether the scheme makes of these labels a row of at least two levels as large and as far apart as a neck's."""
    column, levels = column_by(scheme, labels), levels_by(scheme, labels)
    if len(levels) < 2 or too_large(column) or goes_up(column) or unordered(column):
        return False
    middles = [label.middle for label in levels.values()]
    steps = [float(np.linalg.norm(b - a)) for a, b in pairwise(middles)]
    pitch = np.median(np.array(steps) / np.diff(list(levels)))
    low, high = SMALL_PITCH_MM
    return bool(low < pitch < high and np.median([label.volume for label in levels.values()]) < SMALL_MM3)


def that_fit(values: list[int], labels: dict[int, Label], scheme: str) -> list[str]:
    """The schemes but `scheme` that name all of `values` and make a neck of them, those with most levels alone."""
    counts = {
        other: len(levels_by(other, labels))
        for other in SCHEMES
        if other != scheme
        and not unexpected(values, other)
        and looks_cervical(other, labels)
        and not _goes_on_above(other, scheme, labels)
    }
    return [other for other, count in counts.items() if count == max(counts.values())]


def _goes_on_above(other: str, scheme: str, labels: dict[int, Label]) -> bool:
    """Whether `scheme` has a vertebra for a label above all levels of `other`, for which that one has none: T1 and T2
    of TotalSegmentator's second table lie above the ids that its first one gives to the neck."""
    top = max(label.middle[2] for label in levels_by(other, labels).values())
    return any(
        SCHEMES[scheme].get(value) and not SCHEMES[other][value] and label.middle[2] > top
        for value, label in labels.items()
        if label.volume < LARGEST_MM3
    )


def named(levels: dict[int, Label]) -> str:
    """`C1-C7`, or `C5, C7` where one is missing between them."""
    names = [_name(level) for level in levels if level != THORACIC]
    whole = len(names) > 1 and max(levels) - min(levels) + 1 == len(levels)
    return f"{names[0]}-{names[-1]}" if whole else ", ".join(names)


def _name(level: int) -> str:
    return LEVELS[level - 1] if level < THORACIC else "the thoracic part"
