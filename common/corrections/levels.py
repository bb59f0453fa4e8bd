"""Levels named anew: a person says what one vertebra is, and the whole row moves along."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from common.corrections.thoracic import thoracic_vertebrae
from common.errors import ConfigError
from common.labels import BACKGROUND, CLASS_NAMES, LEVEL_IDS, THORACIC
from common.masks.segmentation import onto
from common.resample import canonical
from common.volume import Volume

ROW = {**LEVEL_IDS, "T1": THORACIC}
"""Names that a person may use, numbered down the row; T1 is the highest thoracic vertebra."""
FORMS = (
    "give C4=C5 (what is called C4 is C5), or C4=X,Y,Z (C4 lies at this point, mm right, anterior, superior), as the "
    "page and 3D Slicer write it: C4='R 3.1, P 20.5, S 41.0'"
)
NEAR_MM, BETWEEN_MM, FAR_MM = 3.0, 2.0, 60.0
"""A point outside of the bone and this near to a vertebra is meant to be in it, if the next one is so much further off;
around the point so much of the mask is looked at."""
_DIRECTIONS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
_NUMBER = r"[+-]?\d+(?:\.\d+)?"


@dataclass(frozen=True)
class Named:
    """A vertebra's true number in the row, 1..8 = C1..C7, T1, and which one it is: the one that is `called` so now,
    or the one at the point `at`, world RAS mm. `words`: as it was said."""

    words: str
    level: int
    called: int | None = None
    at: tuple[float, float, float] | None = None


def parse(words: str) -> Named:
    """`C4=C5`, `C4=3.1,-20.5,41` or `C4=R 3.1, P 20.5, S 41.0 mm`. Raises ConfigError that names the forms."""
    left, equals, right = (part.strip() for part in words.partition("="))
    if not equals or left.upper() not in ROW:
        raise ConfigError(f"--levels {words}: expected one of {', '.join(ROW)} before `=`; {FORMS}")
    if right.upper() in ROW:
        return Named(words, ROW[right.upper()], called=ROW[left.upper()])
    if re.fullmatch(r"[#\d]\d*", right):
        raise ConfigError(
            f"--levels {words}: a slice's number doesn't say along which axis and from which end it counts; {FORMS}"
        )
    return Named(words, ROW[left.upper()], at=_point(words, right))


def steps(mask: Volume, named: Sequence[Named]) -> int:
    """By how many levels the row of a mask (X, Y, Z) of `labels.CLASS_NAMES` must move down to agree with what is
    said; negative: up. Raises ConfigError where things said contradict each other or the mask, or change nothing."""
    found = {one.words: one.level - _now(mask, one) for one in named}
    if len(set(found.values())) > 1:
        moves = "; ".join(f"{words} moves them by {by:+d}" for words, by in found.items())
        raise ConfigError(
            f"--levels: the row of levels moves as a whole, and these don't agree: {moves}. Where single levels are "
            "wrong, edit the mask and give it with --mask"
        )
    by = next(iter(found.values()))
    if by == 0:
        raise ConfigError(f"--levels {', '.join(found)}: that is what the mask says already; nothing to correct")
    return by


def moved(mask: Volume, by: int) -> tuple[Volume, dict[str, str], tuple[str, ...]]:
    """The mask (X, Y, Z) with each level named `by` further down the row, on the same grid; name before -> name after,
    from above, "" for none; what is to be said of the ends, a sentence each.

    Down: what goes beyond C7 is thoracic. Up: what goes beyond C1 has no name and becomes background, and the highest
    thoracic vertebrae become C7 and up where they can be told apart. Raises ConfigError when no level would be left."""
    scan = canonical(mask)
    seen = [value for value in range(1, THORACIC + 1) if (scan.array == value).any()]
    table = np.zeros(len(CLASS_NAMES), np.uint8)
    for value in seen:
        table[value] = value if value == THORACIC else np.clip(value + by, BACKGROUND, THORACIC)
    array = table[scan.array]
    names = {CLASS_NAMES[value]: CLASS_NAMES[table[value]] if table[value] else "" for value in seen[:7]}
    names.pop(CLASS_NAMES[THORACIC], None)
    said = []
    if gone := [name for name, new in names.items() if not new]:
        said.append(f"what was called {', '.join(gone)} would lie above C1: it has no name now and is left out")
    if by < 0 and THORACIC in seen:
        raised, why = thoracic_vertebrae(scan, -by)
        for number, inside in enumerate(raised):
            value = THORACIC + by + number
            array[inside] = value
            names[f"T{number + 1}"] = CLASS_NAMES[value]
        if len(raised) < -by:
            missing = ", ".join(CLASS_NAMES[value] for value in range(THORACIC + by + len(raised), THORACIC))
            said.append(f"{missing} can't be told from the thoracic vertebrae below ({why}) and isn't in the mask")
    if not ((array > 0) & (array < THORACIC)).any():
        raise ConfigError(f"--levels: moved by {by:+d}, no cervical level would be left; look at the preview again")
    return onto(Volume(array, scan.affine, mask.notices), mask.grid), names, tuple(said)


def _now(mask: Volume, named: Named) -> int:
    """The number in the row that a vertebra has now."""
    if named.called is not None:
        if not (mask.array == named.called).any():
            seen = [name for name, value in ROW.items() if (mask.array == value).any()]
            name = next(name for name, value in ROW.items() if value == named.called)
            raise ConfigError(f"--levels {named.words}: the mask has no {name}; it has {', '.join(seen) or 'no level'}")
        return named.called
    at = np.array(named.at)
    near = _near(mask, at)
    between = len(near) > 1 and near[0][0] > 0 and near[1][0] < near[0][0] + BETWEEN_MM
    if not near or near[0][0] > NEAR_MM or between:
        raise ConfigError(f"--levels {named.words}: {_missed(near)}{_mirrored(mask, at)}. {FORMS}")
    value = near[0][1]
    if value != THORACIC:
        return value
    scan = canonical(mask)
    for number, inside in enumerate(thoracic_vertebrae(scan, 12)[0]):
        index = np.argwhere(inside)
        if np.linalg.norm(scan.grid.to_world(index) - at, axis=1).min() <= NEAR_MM:
            return THORACIC + number
    raise ConfigError(
        f"--levels {named.words}: a thoracic vertebra lies there, and which one can't be told, since they hang "
        f"together in the mask; name a cervical one. {FORMS}"
    )


def _near(mask: Volume, at: np.ndarray) -> list[tuple[float, int]]:
    """mm to each label of the mask within `FAR_MM` of a point (3,) RAS mm, nearest first; 0 in its voxels."""
    middle = mask.grid.to_index(at)
    reach = FAR_MM / mask.spacing
    try:
        part = mask.crop(np.floor(middle - reach), np.ceil(middle + reach) + 1)
    except ValueError:
        return []
    found = []
    for value in range(1, THORACIC + 1):
        index = np.argwhere(part.array == value)
        if len(index):
            apart = np.abs(index - part.grid.to_index(at)) - 0.5  # to the voxels' faces
            found.append((float(np.linalg.norm(apart.clip(0) * mask.spacing, axis=1).min()), value))
    return sorted(found)


def _missed(near: list[tuple[float, int]]) -> str:
    if not near:
        return f"no vertebra of the mask lies within {FAR_MM:.0f} mm of this point"
    if near[0][0] <= NEAR_MM:
        return f"the point lies between {CLASS_NAMES[near[0][1]]} and {CLASS_NAMES[near[1][1]]}; give one within a body"
    return f"no vertebra lies there; {CLASS_NAMES[near[0][1]]}, the nearest, is {near[0][0]:.0f} mm away"


def _mirrored(mask: Volume, at: np.ndarray) -> str:
    """What the point would hit were it left, posterior, superior as DICOM counts; "" where nothing."""
    near = _near(mask, at * [-1, -1, 1])
    if not near or near[0][0] > NEAR_MM:
        return ""
    return f"; read as DICOM's left, posterior, superior it is in {CLASS_NAMES[near[0][1]]}: turn the first two signs"


def _point(words: str, text: str) -> tuple[float, float, float]:
    """Three numbers in the order R, A, S, or three with letters in any order. Raises ConfigError."""
    parts = [part.strip() for part in re.sub(r"\s*mm$", "", text.strip("() ")).split(",")]
    plain = [part for part in parts if re.fullmatch(_NUMBER, part)]
    if len(parts) == 3 and len(plain) == 3:
        return cast("tuple[float, float, float]", tuple(map(float, parts)))
    lettered = [re.fullmatch(rf"([RLAPSI])\s*({_NUMBER})", part.upper()) for part in parts]
    place: dict[int, float] = {}
    for match in lettered:
        if match is not None:
            axis, sign = _DIRECTIONS[match[1]]
            place[axis] = sign * float(match[2])
    if len(parts) != 3 or len(place) != 3:
        raise ConfigError(f"--levels {words}: `{text}` is neither a level nor a point of three numbers; {FORMS}")
    return place[0], place[1], place[2]
