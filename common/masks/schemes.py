"""The label tables of other projects, and this project's values for theirs (docs/masks.md)."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from common.errors import ConfigError, UnsupportedStudy
from common.labels import BACKGROUND, LEVEL_IDS, THORACIC
from common.masks.values import labelled_box, translate

LARGEST_VALUE = 65535
"""Beyond this a voxel's value is no label."""


def _column(c1: int, step: int) -> dict[int, int]:
    """C1..C7 and T1..T12 numbered in a row, from `c1` on."""
    return {c1 + step * k: min(k + 1, THORACIC) for k in range(19)}


def _nothing(first: int, last: int) -> dict[int, int]:
    return dict.fromkeys(range(first, last + 1), BACKGROUND)


_RSNA = _column(1, 1)
_VERSE = {
    **_nothing(20, 33),  # L1..L6, sacrum and coccyx
    **_nothing(101, 133),  # spineps: the disc below the vertebra, 100 + its number
    **_nothing(201, 233),  # spineps: its endplates, 200 + its number
    **_RSNA,
    28: THORACIC,  # T13
}
SCHEMES: dict[str, dict[int, int]] = {
    "rsna": _RSNA,
    "merged": {i: i for i in range(1, THORACIC + 1)},
    "verse": _VERSE,
    "spineps": _VERSE,
    "vertebrae_pp": {**_RSNA, **_nothing(20, 24)},
    "totalsegmentator": {**_nothing(1, 117), **_column(50, -1)},
    "totalsegmentator_v1": {**_nothing(1, 104), **_column(41, -1)},
    "vertebrae_mr": {**_nothing(1, 6), **_column(25, -1)},
}
"""Mask value of a scheme -> mask value of this project. Values that a scheme doesn't name are unexpected."""
NAMES = ", ".join(SCHEMES)


def known(scheme: str) -> dict[int, int]:
    """The table of a scheme, 0 included. Raises ConfigError for a scheme that isn't known."""
    if scheme not in SCHEMES:
        raise ConfigError(f"label scheme `{scheme}`: known are {NAMES}")
    return {BACKGROUND: BACKGROUND, **SCHEMES[scheme]}


def level_values(scheme: str) -> dict[int, int]:
    """Level id 1..7 -> the value that the scheme gives it."""
    return {level: value for value, level in SCHEMES[scheme].items() if level in LEVEL_IDS.values()}


def whole_numbers(array: np.ndarray, path: Path) -> np.ndarray:
    """A mask's array as integers, itself where it holds some. Raises UnsupportedStudy for fractions."""
    if array.dtype.kind in "iu":
        return array
    if array.dtype.kind == "b":
        return array.view(np.uint8)
    whole = np.empty_like(array, dtype=np.int32)
    for slab, target in zip(_slabs(array), _slabs(whole)):
        np.rint(slab, out=target, casting="unsafe")
        if (target != slab).any():
            raise UnsupportedStudy(f"{path}: holds fractions, expected whole label values; a mask of probabilities?")
    return whole


def values_in(whole: np.ndarray) -> list[int]:
    """The values (integers) that an array holds, in order, without 0."""
    found: set[int] = set()
    if whole.dtype.kind == "u":  # nothing lies below 0: most of a scan needs no count
        whole = whole[labelled_box(whole)]
    for slab in _slabs(whole):
        if slab.min() < 0 or slab.max() > LARGEST_VALUE:
            found.update(np.unique(slab).tolist())
        else:
            found.update(np.flatnonzero(np.bincount(slab.ravel(order="K"))).tolist())
    return sorted(found - {BACKGROUND})


def unexpected(values: Iterable[int], scheme: str) -> list[int]:
    """Those of `values` that the scheme doesn't name."""
    return [value for value in values if value not in known(scheme)]


def to_ours(whole: np.ndarray, scheme: str) -> np.ndarray:
    """Values of a scheme, none of them unexpected -> uint8 values of common.labels, the same shape; the array itself
    where these are the scheme's own."""
    named = known(scheme)
    if whole.dtype == np.uint8 and named == {n: n for n in range(len(named))} and whole.max(initial=0) < len(named):
        return whole
    table = np.zeros(256, np.uint8)
    for value, ours in named.items():
        table[value] = ours
    return translate(whole, table)


def _slabs(array: np.ndarray) -> Iterator[np.ndarray]:
    """Its parts along the last axis: what is made of one slab at a time takes little memory."""
    return (array[..., k] for k in range(array.shape[-1]))
