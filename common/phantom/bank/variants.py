"""Rare kinds of necks, made of a subject's label map: one vertebra fewer or more, ribs at C7, an atlas grown onto the
skull.

Vertebrae are counted anew from the skull. So the seventh of a neck with six, which bears the first ribs, has the code
of C7, and the eighth of a neck with eight that of T1: what they are called is for the reader to say.
"""

import numpy as np
from scipy import ndimage

from common.phantom.tissues import (
    CORTEX,
    LEVEL_CODES,
    MUSCLE,
    OUTSIDE,
    RIB_CORTEX,
    RIB_SPONGY,
    SKULL_CORTEX,
    SKULL_SPONGY,
)
from common.volume import Volume

C1, C7, T1 = (LEVEL_CODES[level] for level in ("C1", "C7", "T1"))
RIB_MM = 45.0
"""Of the first rib, from the middle of T1 outwards, that a cervical rib has."""
GROWN_MM = 4.5
"""Between atlas and skull, that is bone where they have grown together."""


def without(subject: Volume, level: str) -> Volume:
    """The subject without one of its vertebrae (C3 to C7), those below moved up by one and counted anew."""
    gone = LEVEL_CODES[level]
    nearest, middles = _owners(subject)
    shift = middles[gone] - middles[gone - 1]
    lower = _moved(np.where(nearest > gone, subject.array, OUTSIDE), shift)
    there = _moved((nearest > gone).astype(np.uint8), shift) > 0
    upper = np.where(nearest < gone, subject.array, MUSCLE)
    upper[subject.array == OUTSIDE] = OUTSIDE
    return subject.with_array(np.where(there & (nearest >= gone), _counted(lower, gone, -1), upper))


def doubled(subject: Volume, level: str) -> Volume:
    """The subject with one of its vertebrae (C3 to C7) twice, those below moved down by one and counted anew."""
    twice = LEVEL_CODES[level]
    nearest, middles = _owners(subject)
    shift = middles[twice - 1] - middles[twice]
    lower = _moved(np.where(nearest >= twice, subject.array, OUTSIDE), shift)
    there = _moved((nearest >= twice).astype(np.uint8), shift) > 0
    kept = np.where(nearest <= twice, subject.array, MUSCLE)
    kept[subject.array == OUTSIDE] = OUTSIDE
    return subject.with_array(np.where(there & (nearest >= twice), _counted(lower, twice - 1, 1), kept))


def with_cervical_ribs(subject: Volume) -> Volume:
    """The subject with short ribs at C7: the beginnings of its first ribs, moved up by one vertebra."""
    nearest, middles = _owners(subject)
    shift = middles[T1] - middles[C7]
    beside = np.abs(np.arange(subject.array.shape[0]) - middles[T1][0]) * subject.spacing[0] < RIB_MM
    ribs = np.isin(subject.array, (RIB_CORTEX, RIB_SPONGY)) & (nearest == T1) & beside[:, None, None]
    moved = _moved(np.where(ribs, subject.array, OUTSIDE), shift)
    free = ~np.isin(subject.array, _bone_codes())
    return subject.with_array(np.where((moved != OUTSIDE) & free, moved, subject.array))


def with_assimilated_atlas(subject: Volume) -> Volume:
    """The subject with an atlas that has grown onto the skull: what lies close to both is bone of the atlas."""
    skull = np.isin(subject.array, (SKULL_CORTEX, SKULL_SPONGY))
    atlas = np.isin(subject.array, (C1, C1 + CORTEX))
    if not skull.any() or not atlas.any():
        return subject
    near = [ndimage.distance_transform_edt(~part, sampling=subject.spacing) < GROWN_MM for part in (skull, atlas)]
    free = ~np.isin(subject.array, _bone_codes())
    return subject.with_array(np.where(near[0] & near[1] & free, C1, subject.array).astype(np.uint8))


def _bone_codes() -> list[int]:
    vertebrae = list(LEVEL_CODES.values())
    return [*vertebrae, *(code + CORTEX for code in vertebrae), SKULL_CORTEX, SKULL_SPONGY, RIB_CORTEX, RIB_SPONGY]


def _owners(subject: Volume) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """(X, Y, Z) uint8: the code of the vertebra nearest to each voxel; each one's middle (3,) in voxels."""
    bone = np.where(subject.array > CORTEX, subject.array - CORTEX, subject.array)
    bone[(subject.array == OUTSIDE) | (bone > len(LEVEL_CODES))] = 0
    where = ndimage.distance_transform_edt(
        bone == 0, sampling=subject.spacing, return_distances=False, return_indices=True
    )
    present = [code for code in LEVEL_CODES.values() if (bone == code).any()]
    middles = ndimage.center_of_mass(bone > 0, bone, present)
    return bone[tuple(where)], {code: np.array(middle) for code, middle in zip(present, middles)}


def _moved(codes: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """codes (X, Y, Z) as seen at each voxel plus `shift` (3,) voxels; 0 beyond the map."""
    whole = np.rint(shift).astype(int)
    found = np.zeros_like(codes)
    to = tuple(slice(max(-s, 0), n - max(s, 0)) for s, n in zip(whole, codes.shape))
    frm = tuple(slice(max(s, 0), n - max(-s, 0)) for s, n in zip(whole, codes.shape))
    found[to] = codes[frm]
    return found


def _counted(codes: np.ndarray, after: int, by: int) -> np.ndarray:
    """The codes of vertebrae after `after` raised by `by`."""
    table = np.arange(256, dtype=np.uint8)
    last = len(LEVEL_CODES)
    for code in range(after + 1, last + 1):
        new = min(code + by, last)
        table[code], table[code + CORTEX] = new, new + CORTEX
    return table[codes]
