"""Whether values can be HU: judged by where air, soft tissue and bone lie, for every kind of file alike.

A neck in HU has soft tissue (fat -100, muscle 50) far above air and far below what little dense bone there is. Where
that picture stands elsewhere, as a whole, by a number that is known to get lost on the way, it is moved back; where it
isn't there, the file isn't in HU. A volume of few voxels or slices, or of a single value, isn't judged.
"""

from dataclasses import dataclass

import numpy as np

from common.errors import CorruptFile, UnsupportedStudy
from common.reading.plausibility.faults import (
    BONE,
    HIGHEST_COMMON,
    LOWEST_AIR,
    MOST_ABOVE,
    MOST_BELOW,
    MUSCLE,
    bright,
    doubts,
    looks_narrow,
    looks_wrong,
)
from common.reading.plausibility.histogram import Spread

FEWEST_VOXELS, FEWEST_ALONG = 8000, 8
"""What is smaller, or has fewer voxels along an axis, holds no neck and isn't judged."""
SAMPLE = 2**19
"""About as many voxels are looked at, spread evenly over the volume."""
OFFSETS = {
    1024: "RescaleIntercept -1024 was left out",
    1000: "RescaleIntercept -1000 was left out",
    1023: "an intercept of -1023 was left out",
    2048: "an intercept of -2048 was left out",
    2000: "an intercept of -2000 was left out",
    8192: "RescaleIntercept -8192 was left out",
    -1024: "RescaleIntercept -1024 was applied twice",
    -1000: "RescaleIntercept -1000 was applied twice",
    -1023: "an intercept of -1023 was applied twice",
    -2048: "RescaleIntercept -1024 was applied three times",
}
"""What is added to HU by mistake -> how that comes about; likely ones first."""
MUSCLE_MOVED_BACK = (-45.0, 105.0)
USUAL_MUSCLE = (25.0, 58.0)
"""What lies at -1000 then is air; at -1024 it is what a maker fills in."""
LOWEST, CEILING, AIR = -1024, 3071, -1000
"""Where scanners cut HU off, and where air lies."""
METAL_HU = 2600
"""Bone and teeth are darker."""
AIR_NEAR = 120.0
"""How far above the low end air outside of the body is looked for."""
NARROW = 0.72
"""Part of what lies about muscle that is fat and muscle; 0.77 to 0.95 in scans that were measured."""
HIGHEST_HU = np.iinfo(np.int16).max
WRAPPED = 2**16 - 4096
"""Negative HU lie above it when 16 bits lose their sign."""
GIVE_HU = "give the CT in HU, from the original DICOM series"


@dataclass(frozen=True)
class Verdict:
    """`offset`: what is to be subtracted from all values to have HU; `notices`: a sentence each."""

    offset: int = 0
    notices: tuple[str, ...] = ()


def sampled(array: np.ndarray, voxels: int | None = None) -> np.ndarray:
    """(n,) every k-th value of `array`, which is all or a part of a volume of `voxels`: SAMPLE of that, or all."""
    flat = array.T.reshape(-1) if array.flags.f_contiguous else array.reshape(-1)
    return flat[:: max(1, (voxels or array.size) // SAMPLE) | 1].copy()  # a view would keep the whole alive


def judge(values: np.ndarray, shape: tuple[int, int, int]) -> Verdict:
    """Judges a volume of `shape` by its values (n,), all or an even sample, neither cut off nor padded by the reader.

    Raises UnsupportedStudy for what can't be HU: what was found, which fault it looks like, what to do.
    """
    spread = Spread.of(values)
    if values.size < FEWEST_VOXELS or min(shape) < FEWEST_ALONG or spread.lowest == spread.highest:
        unlike = (f"no value below {spread.lowest:.0f}: neither air nor fat, perhaps not HU",)
        return Verdict(0, unlike if values.size and spread.lowest > -200 else ())
    if narrow := looks_narrow(spread):
        raise UnsupportedStudy(
            f"can't be HU: its values span {spread.lowest:.4g} to {spread.highest:.4g}, from air to bone it would be "
            f"over 1500; they look like {narrow}; {GIVE_HU}"
        )
    muscle = spread.soft_tissue
    if muscle is not None and not MUSCLE[0] <= muscle <= MUSCLE[1]:
        known = known_offset(spread, muscle)
        if known is not None:
            return _moved_back(spread, muscle, *known)
    if fault := looks_wrong(spread, muscle):
        raise UnsupportedStudy(f"can't be HU: {fault}; {GIVE_HU}")
    return Verdict(0, doubts(spread, muscle))


def known_offset(spread: Spread, muscle: float) -> tuple[int, bool] | None:
    """The entry of OFFSETS that brings soft tissue to its place, and whether that is sure; None without any.

    Soft tissue tells it to within some 50 HU only. Of several: the one that brings a limit of the values onto one of
    scanners, or air to -1000, else the most usual one."""
    near = [
        offset
        for offset in OFFSETS
        if MUSCLE_MOVED_BACK[0] <= muscle - offset <= MUSCLE_MOVED_BACK[1] and _is_ct(spread, muscle, offset)
    ]
    if not near:
        return None
    low, air = float(spread.filled_off[0]), spread.peak_above_floor(AIR_NEAR)
    limits = {spread.floor, *spread.fillings} - {0.0}  # unsigned values end at 0 whatever was added to them
    usual = [offset for offset in near if abs(offset) != 1023]
    ways = (
        [offset for offset in near if LOWEST + offset in limits],
        [offset for offset in near if spread.ceiling == CEILING + offset],
        [offset for offset in near if low == LOWEST + offset and low != 0],
        [offset for offset in usual if air is not None and abs(air - offset - AIR) <= 12 and _usual(muscle - offset)],
        [offset for offset in near if low == LOWEST + offset],
    )
    found = next((way[0] for way in ways if len(way) == 1), near[0])
    return found, len(near) == 1 or ways[0] == [found]


def _usual(muscle: float) -> bool:
    return USUAL_MUSCLE[0] <= muscle <= USUAL_MUSCLE[1]


def _is_ct(spread: Spread, muscle: float, offset: int) -> bool:
    """Whether, moved back by `offset`, there is bone, little above it, nothing broad below air, and soft tissue is
    narrow."""
    around = spread.part(muscle - 450, muscle + 450)
    window = spread.ceiling is not None and spread.ceiling - offset < 2000 and offset > 0
    return (
        spread.part(offset + BONE, np.inf) > 0.0005
        and spread.part(offset + HIGHEST_COMMON, np.inf) <= MOST_ABOVE
        and spread.part(-np.inf, offset + LOWEST_AIR) <= MOST_BELOW
        and spread.part(muscle - 250, muscle + 120) >= NARROW * around
        and not bright(spread, muscle)
        and not window
    )


def _moved_back(spread: Spread, muscle: float, offset: int, sure: bool) -> Verdict:
    moved = Spread(spread.values - offset)
    side, done = ("higher", "subtracted") if offset > 0 else ("lower", "added")
    notice = (
        f"all values stood {abs(offset)} {side} than HU, soft tissue at {muscle:.0f}, as where {OFFSETS[offset]}: "
        f"{abs(offset)} {done}{'' if sure else ' (exact to 24: 1000 and 1024 are hard to tell apart)'}"
    )
    return Verdict(offset, (notice, *doubts(moved, muscle - offset)))


def refuse_beyond(name: str, values: np.ndarray) -> None:
    """For values beyond HU: raises UnsupportedStudy where they are negative ones that lost their sign, else
    CorruptFile."""
    highest = float(values.max())
    wrapped = values > WRAPPED
    if wrapped.mean() > 0.01 and not ((values > HIGHEST_HU) & ~wrapped).any() and highest < 2**16:
        raise UnsupportedStudy(
            f"{name}: can't be HU: {wrapped.mean():.0%} of its values lie above {WRAPPED}, up to {highest:.0f}, the "
            f"rest far below: the sign looks lost (signed values called unsigned); {GIVE_HU}"
        )
    raise CorruptFile(f"{name}: values up to {highest:.0f} can't be HU; export the series again")
