"""Slices that belong together: one series, one orientation, one matrix, one acquisition."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from common.reading.slice import Slice

SAME_DIRECTION = 1e-3
"""Largest difference of direction cosines within a series."""
SAME_PLACE_MM = 0.01
AXIAL_COSINE = 0.8
"""Slices whose normal lies within 37 degrees of the body's axis are axial, tilted gantries included."""
FEWEST_SPLIT = 3
"""A series is split by acquisition where that leaves stacks of at least so many slices."""


@dataclass(frozen=True, eq=False)
class Series:
    """Slices by increasing position along their normal (row direction x column direction)."""

    slices: tuple[Slice, ...]

    @property
    def uid(self) -> str:
        return self.slices[0].series_uid

    @property
    def normal(self) -> np.ndarray:
        """(3,) unit vector in LPS."""
        return self.slices[0].normal

    @cached_property
    def along(self) -> np.ndarray:
        """(n,) mm, positions along the normal, increasing."""
        normal = self.normal
        return np.array([normal @ item.position for item in self.slices])

    @property
    def step(self) -> float:
        """Usual distance between slices, mm; infinite for a single one."""
        return float(np.median(np.diff(self.along))) if len(self.slices) > 1 else float("inf")

    @property
    def length(self) -> float:
        """mm from the first slice to the last."""
        return float(self.along[-1] - self.along[0])

    @property
    def plane(self) -> str:
        """axial, sagittal, coronal or oblique, by the normal."""
        turned = np.abs(self.normal)
        nearest = int(turned.argmax())
        return ("sagittal", "coronal", "axial")[nearest] if turned[nearest] >= AXIAL_COSINE else "oblique"

    @property
    def repeats(self) -> bool:
        """True when two slices lie at the same place along the normal."""
        return bool((np.diff(self.along) <= SAME_PLACE_MM).any())


def grouped(slices: list[Slice]) -> list[Series]:
    """Series among slices of any kind, in the order in which their first slices are given.

    A series here is one SeriesInstanceUID with one orientation, matrix and pixel spacing. Where its slices repeat
    positions, it is split by acquisition number, kernel and image type, as far as that helps.
    """
    groups: list[list[Slice]] = []
    by_key: dict[tuple, list[list[Slice]]] = defaultdict(list)
    for item in slices:
        candidates = by_key[item.study_uid, item.series_uid, item.shape]
        group = next((g for g in candidates if _alike(g[0], item)), None)
        if group is None:
            group = []
            candidates.append(group)
            groups.append(group)
        group.append(item)
    return [part for group in _joined(groups) for part in _split(_ordered(group))]


def _joined(groups: list[list[Slice]]) -> list[list[Slice]]:
    """Where every slice has a SeriesInstanceUID of its own, as some exports number them, and those of one study, shape,
    kernel and type lie evenly on one line, they are one series; else the groups as they are."""
    if len(groups) < FEWEST_SPLIT or any(len(group) > 1 for group in groups):
        return groups
    by_kind: dict[tuple, list[Slice]] = defaultdict(list)
    for (item,) in groups:
        by_kind[item.study_uid, item.shape, item.kernel, item.image_type].append(item)
    joined = []
    for items in by_kind.values():
        one = len(items) >= FEWEST_SPLIT and all(_alike(items[0], item) for item in items) and _evenly(_ordered(items))
        joined += [items] if one else [[item] for item in items]
    return joined


def _evenly(series: Series) -> bool:
    """Whether slices follow each other at one distance, straight up or along a tilted gantry's line."""
    steps = np.diff(np.stack([item.position for item in series.slices]), axis=0)
    off = np.linalg.norm(steps - np.median(steps, axis=0), axis=1)
    return series.step > SAME_PLACE_MM and bool((off <= max(0.12, 0.1 * series.step)).all())


def _ordered(slices: list[Slice]) -> Series:
    normal = slices[0].normal
    return Series(tuple(sorted(slices, key=lambda item: float(normal @ item.position))))


def _split(series: Series) -> list[Series]:
    ways: list[Callable[[Slice], object]] = [
        lambda item: item.acquisition,
        lambda item: item.kernel,
        lambda item: item.image_type,
        lambda item: (item.acquisition, item.kernel, item.image_type),
    ]
    if not series.repeats:
        return [series]
    for way in ways:
        parts: dict[object, list[Slice]] = defaultdict(list)
        for item in series.slices:
            parts[way(item)].append(item)
        stacks = [_ordered(part) for part in parts.values()]
        if len(stacks) > 1 and not any(stack.repeats for stack in stacks):
            # slices of one stack, each under a number of its own, aren't several stacks
            return stacks if max(len(stack.slices) for stack in stacks) >= FEWEST_SPLIT else [series]
    return [series]


def _alike(a: Slice, b: Slice) -> bool:
    if a.rows_along is b.rows_along and a.columns_along is b.columns_along and a.spacing == b.spacing:
        return True  # of headers that are alike (`alike.Headers`)
    directions = np.abs(a.rows_along - b.rows_along).max(), np.abs(a.columns_along - b.columns_along).max()
    return max(directions) <= SAME_DIRECTION and bool(np.allclose(a.spacing, b.spacing, rtol=1e-3))
