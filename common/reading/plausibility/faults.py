"""What keeps values from being HU, and what makes them doubtful."""

import numpy as np

from common.reading.plausibility.histogram import Spread

MUSCLE = (-150.0, 200.0)
"""Where the peak of soft tissue lies in HU; 4 to 59 in the scans that were measured."""
DOUBTFUL_MUSCLE = (-500.0, 500.0)
"""Cone-beam scanners are off by so much; the smallest offset that gets lost is 1000."""
HIGHEST_COMMON, MOST_ABOVE = 2500.0, 0.05
"""Metal and teeth hold less than that part of what isn't cut off below."""
LOWEST_AIR, MOST_BELOW = -1200.0, 0.03
BONE = 500.0
MOST_BONE = 0.32
"""Part of what isn't air that may lie 200 above muscle; at most 0.25 in crops of the spine that were measured."""
FEWEST_DISTINCT = 16
"""A volume of fewer values is a drawing: where tissue lies in it can't be said."""
LOWEST_FLOOR, HIGHEST_CEILING = -900.0, 2500.0
COARSE = 4.0
"""HU from one value to the next."""

def looks_narrow(spread: Spread) -> str | None:
    """What values look like that don't span as much as fat, muscle and bone; None when they do."""
    low, high = spread.lowest, spread.highest
    if high - low > 300:
        return None
    if not spread.whole:
        if low <= -0.9 and high > 1.1 and _is_scaled(spread, 1000):
            return "HU divided by 1000"
        if low >= 0:
            return "fractions of 0 to 1 (min-max)" if high <= 1 else "a window, or values scaled to 0..100 or 0..255"
        if low >= -1 and high <= 1:
            return "fractions of -1 to 1 (min-max)"
        return "z-scores (mean taken off, divided by the deviation)" if high - low <= 50 else "HU divided by 10"
    if low >= 0 and high < 64:
        return "the labels of a mask"
    if low >= 0:
        return "percent" if high <= 100 else "a window of 8 bits, 0 to 255"
    return "HU divided by 10, or a window of 8 bits"


def _is_scaled(spread: Spread, factor: float) -> bool:
    muscle = Spread(spread.values * factor).soft_tissue
    return muscle is not None and MUSCLE[0] <= muscle <= MUSCLE[1]


def looks_wrong(spread: Spread, muscle: float | None) -> str | None:
    """Which fault keeps values from being HU, with what was found; None when they may be."""
    found = f"values of {spread.lowest:.0f} to {spread.highest:.0f}"
    if muscle is not None:
        found += f", what looks like soft tissue at {muscle:.0f} instead of about 50"
    above, below = spread.part(HIGHEST_COMMON, np.inf), spread.part(-np.inf, LOWEST_AIR)
    if above > MOST_ABOVE and spread.lowest > -200 and spread.part(-200, 1500) > MOST_ABOVE:
        return (
            f"{found}, {above:.0%} of them above {HIGHEST_COMMON:.0f} though nothing lies below -200: the sign looks "
            "lost, with air where the numbers wrapped round"
        )
    out_of_place = muscle is not None and not MUSCLE[0] <= muscle <= MUSCLE[1]
    if below > MOST_BELOW or (above > MOST_ABOVE and out_of_place):
        beyond = f"{below:.0%} of them below {LOWEST_AIR:.0f}, {above:.0%} above {HIGHEST_COMMON:.0f}"
        return f"{found}, {beyond}: another scale"
    if muscle is None:
        if spread.lowest > -200 and len(spread.distinct) >= FEWEST_DISTINCT:
            return f"{found}, no peak where soft tissue would be: another modality (MR?)"
        return None
    if MUSCLE[0] <= muscle <= MUSCLE[1]:
        if spread.lowest > -200 and spread.part(BONE, np.inf) < 0.0005:
            return f"{found}, neither air nor fat below and no bone above it: another modality (MR?) or a window"
        unlimited = spread.floor is None and len(spread.distinct) >= FEWEST_DISTINCT
        if unlimited and spread.lowest > (-200 if bright(spread, muscle) else -50):
            return f"{found}, though nothing is cut off below, neither air nor fat: another modality (MR?)"
        return None
    if DOUBTFUL_MUSCLE[0] <= muscle <= DOUBTFUL_MUSCLE[1] and spread.lowest < muscle - 500:
        return None
    return f"{found}, and {muscle - 50:.0f} is no offset that is known to arise: another modality (MR?) or scale"


def bright(spread: Spread, muscle: float) -> bool:
    """Whether more lies above soft tissue than bone: MR's tissues are broad."""
    body = spread.part(muscle - 250, np.inf)
    return spread.part(muscle + 200, np.inf) > MOST_BONE * body


def doubts(spread: Spread, muscle: float | None) -> tuple[str, ...]:
    """What is to be said of values that are used all the same, a sentence each."""
    notices = []
    if muscle is not None and not MUSCLE[0] <= muscle <= MUSCLE[1]:
        notices.append(f"soft tissue lies at {muscle:.0f}, expected about 50: these HU aren't exact (cone-beam CT?)")
    floor = spread.floor
    if floor is not None and floor > LOWEST_FLOOR:
        notices.append(f"values are cut off at {floor:.0f} below, so what is lighter can't be told apart; usable")
    elif spread.lowest > -200:
        notices.append(f"no value below {spread.lowest:.0f}: neither air nor fat, perhaps not HU")
    if spread.ceiling is not None and spread.ceiling < HIGHEST_CEILING:
        notices.append(f"values are cut off at {spread.ceiling:.0f} above: dense bone can't be told")
    step = _step(spread)
    if step >= COARSE:
        notices.append(f"values are coarse, about {step:.0f} HU from one to the next")
    return tuple(notices)


def _step(spread: Spread) -> float:
    """Usual distance of different values within soft tissue; 0 where there are too few voxels to say."""
    low, high = np.searchsorted(spread.inner, [MUSCLE[0], MUSCLE[1]])
    inside = np.unique(spread.inner[low:high])
    if len(inside) < 2 or high - low < 50 * len(inside) or len(spread.distinct) < FEWEST_DISTINCT:
        return 0.0
    return float(np.median(np.diff(inside)))
