"""How the values of a volume are spread: where they are cut off, and where its soft tissue lies among them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

SPIKE = 0.003
"""Part of all voxels that a single value at an end must hold to be taken for a limit or a filling."""
ABOVE_NEIGHBOURS = 10.0
ISOLATED = 100.0
"""A filling's distance to the next value, in HU."""
BIN = 10
HALF = 150
"""Half the width of soft tissue, fat to muscle with contrast agent, in HU."""
BESIDE = 500
"""How far from the middle of soft tissue hardly anything lies: there it is lung or dense bone."""
AGAINST_LOWER, AGAINST_UPPER = 2.5, 1.5
"""Soft tissue holds so many times what lies as wide, `BESIDE` below and above it."""
LEAST_TISSUE = 0.005
SHORT = np.iinfo(np.int16)


@dataclass(frozen=True, eq=False)
class Spread:
    """Values (n,) of a volume or of an even sample of it, sorted; int or float."""

    values: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> "Spread":
        """Of values of any type, so that sums don't wrap round."""
        values = np.asarray(values).reshape(-1)
        if values.dtype.kind not in "iub":
            return cls(np.sort(values.astype(np.float64)))
        if values.size and SHORT.min <= values.min() and values.max() <= SHORT.max:
            values = np.sort(values.astype(np.int16), kind="stable")  # by digits: a tenth of the time
            return cls(values.astype(np.int64))
        return cls(np.sort(values.astype(np.int64)))

    @property
    def lowest(self) -> float:
        return float(self.values[0])

    @property
    def highest(self) -> float:
        return float(self.values[-1])

    @cached_property
    def distinct(self) -> np.ndarray:
        """The different values, increasing."""
        return self.values[np.concatenate([[True], np.diff(self.values) > 0])]

    @cached_property
    def whole(self) -> bool:
        """True when no value has a fraction."""
        return bool((self.distinct == np.rint(self.distinct)).all())

    def part(self, low: float, high: float) -> float:
        """Part (0..1) of the values above fillings and floor with low <= value < high."""
        kept = self.above_floor
        ends = np.searchsorted(kept, [low, high])
        return float((ends[1] - ends[0]) / max(1, len(kept)))

    @cached_property
    def fillings(self) -> tuple[float, ...]:
        """Single values at the low end, far from all others, that hold much: what lies outside of the scanned field."""
        found: list[float] = []
        rest = self.values
        while len(rest) and len(found) < 3:
            count = int(np.searchsorted(rest, rest[0], side="right"))
            if count == len(rest) or count < SPIKE * len(self.values) or rest[count] - rest[0] < ISOLATED:
                break
            found.append(float(rest[0]))
            rest = rest[count:]
        return tuple(found)

    @cached_property
    def filled_off(self) -> np.ndarray:
        """The values above the fillings."""
        if not self.fillings:
            return self.values
        return self.values[np.searchsorted(self.values, self.fillings[-1], side="right") :]

    @cached_property
    def floor(self) -> float | None:
        """The value at which the low end was cut off; None where it runs out."""
        return _limit(self.filled_off, len(self.values), 1)

    @cached_property
    def ceiling(self) -> float | None:
        """The value at which the high end was cut off; None where it runs out."""
        return _limit(-self.filled_off[::-1], len(self.values), -1)

    @cached_property
    def above_floor(self) -> np.ndarray:
        """The values without fillings and without those at the floor."""
        kept = self.filled_off
        return kept if self.floor is None else kept[np.searchsorted(kept, self.floor, side="right") :]

    @cached_property
    def inner(self) -> np.ndarray:
        """The values without fillings and without those at a limit."""
        kept = self.above_floor
        return kept if self.ceiling is None else kept[: np.searchsorted(kept, self.ceiling)]

    def peak_above_floor(self, reach: float) -> float | None:
        """The peak of the values within `reach` of the low end; the floor itself when just about the half of a peak
        that noise draws lies on it; None where neither is there."""
        low = float(self.filled_off[0])
        near = self.inner[: np.searchsorted(self.inner, low + reach)]
        if len(near) < 100:
            return None
        counts = _counted(near, np.arange(low - 20.5, low + reach, 2.0))
        smooth = gaussian_filter1d(counts, 3)
        peak = int(smooth.argmax())
        if self.floor is not None and low + 2 * peak - 20 < low + 10:
            on_floor = len(self.filled_off) - len(self.above_floor)
            return low if 0.5 <= on_floor / len(near) <= 2 else None
        return low - 19.5 + 2 * peak if peak < len(smooth) - 5 else None

    @cached_property
    def soft_tissue(self) -> float | None:
        """Where the muscle's peak would lie: the topmost crowd as wide as fat to muscle in HU, with little a lung or a
        dense bone away from it; None without such a crowd."""
        if len(self.inner) < 100:
            return None
        low, high = float(self.inner[0]) - 1000, float(self.inner[-1]) + 1000
        if high - low > 200_000:
            return None
        counts = _counted(self.inner, np.arange(low, high + BIN, BIN))
        inside = np.convolve(counts, np.ones(2 * HALF // BIN + 1), mode="same")
        step = BESIDE // BIN
        below = np.concatenate([np.zeros(step), inside[:-step]])
        above = np.concatenate([inside[step:], np.zeros(step)])
        crowd = (inside >= AGAINST_LOWER * below) & (inside >= AGAINST_UPPER * above)
        crowd &= (inside >= LEAST_TISSUE * len(self.inner)) & (inside == maximum_filter1d(inside, 2 * HALF // BIN + 1))
        if not crowd.any():
            return None
        return self._muscle(low + (float(np.flatnonzero(crowd)[-1]) + 0.5) * BIN)

    def _muscle(self, centre: float) -> float:
        """The upper of the high peaks about `centre`: muscle or brain, above fat."""
        edges = np.arange(centre - 1.5 * HALF, centre + 1.5 * HALF, 2.0)
        smooth = gaussian_filter1d(_counted(self.inner, edges), 5)
        peaks = (smooth >= 0.4 * smooth.max()) & (smooth == maximum_filter1d(smooth, 15))
        return float(edges[np.flatnonzero(peaks)[-1]] + 1)


def _counted(ordered: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """float, `np.histogram` of values that are sorted already."""
    ends = np.searchsorted(ordered, edges)
    ends[-1] = np.searchsorted(ordered, edges[-1], side="right")
    return np.diff(ends).astype(float)


def _limit(ordered: np.ndarray, total: int, sign: int) -> float | None:
    """The first of the values, ordered away from their end, when it holds far more than each of the next ones."""
    if len(ordered) < 100:
        return None
    count = int(np.searchsorted(ordered, ordered[0], side="right"))
    least = SPIKE * total if sign > 0 else max(10.0, 2e-5 * total)
    near = int(np.searchsorted(ordered, ordered[0] + 50, side="right")) - count
    if count < least or count == len(ordered) or count < ABOVE_NEIGHBOURS * near / 50:
        return None
    return sign * float(ordered[0])
