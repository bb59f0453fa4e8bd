"""Levels that aren't certain enough lose their names on request; what isn't certain is said."""

import numpy as np

from common.labels import BACKGROUND, LEVEL_IDS, LEVELS
from common.masks.values import count_values
from common.volume import Volume
from stage1_segment.inference.levels.certainty import UNCERTAIN_BELOW, LevelCertainty


def without_uncertain(mask: Volume, certainty: LevelCertainty | None, least: float) -> tuple[Volume, tuple[str, ...]]:
    """The mask (X, Y, Z) of `labels.CLASS_NAMES` without the levels less certain than `least`, whose voxels become
    background, and which these are; a level of which nothing is known keeps its name."""
    known = {} if certainty is None else {level: certainty.of(level) for level in LEVELS}
    doubted = [level for level, part in known.items() if part is not None and part < least]
    if not doubted:
        return mask, ()
    counts = count_values(mask.array)
    gone = tuple(level for level in doubted if counts[LEVEL_IDS[level]])
    if not gone:
        return mask, ()
    unnamed = np.isin(mask.array, [LEVEL_IDS[level] for level in gone])
    return mask.with_array(np.where(unnamed, BACKGROUND, mask.array).astype(mask.array.dtype)), gone


def said_of(certainty: LevelCertainty | None, unnamed: tuple[str, ...], least: float) -> tuple[str, ...]:
    """Notices, a sentence each: that the count isn't certain, and which levels have no name for it."""
    if certainty is None:
        return ()
    found = []
    if certainty.study < UNCERTAIN_BELOW:
        doubted = [level for level in LEVELS if (part := certainty.of(level)) is not None and part < UNCERTAIN_BELOW]
        which = f" ({'; '.join(_words(certainty, level) for level in doubted)})" if doubted else ""
        found.append(
            f"the level count isn't certain: all levels are named rightly with a probability of {certainty.study:.0%}"
            f"{which}; look at the preview"
        )
    if unnamed:
        names = "; ".join(_words(certainty, level) for level in unnamed)
        found.append(f"less certain than {least:.0%}, so without a name in the mask: {names}")
    return tuple(found)


def _words(certainty: LevelCertainty, level: str) -> str:
    own = certainty.alternatives[level].get(level, 0.0)
    if own >= UNCERTAIN_BELOW:  # so called rightly, but the middle of that vertebra has another name
        return f"{level}'s borders are right with {certainty.levels[level]:.0%}"
    others = ", ".join(f"{name} {part:.0%}" for name, part in certainty.alternatives[level].items())
    return f"what looks like {level} is {others}"
