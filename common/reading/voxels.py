"""The voxels of a stack: slices decoded, moved into place, and interpolated where some are missing or uneven."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from common.reading.decode import Decoder
from common.reading.plain import read_plain
from common.reading.plausibility.judge import judge
from common.reading.stack import WHOLE_PIXEL, Stack
from common.resample import AIR_HU
from common.workers.cores import usable_cores

MOST_THREADS = 4
"""That read at a time: more don't make it faster, since headers are most of the work."""


def read_voxels(stack: Stack) -> tuple[np.ndarray, tuple[str, ...]]:
    """(column, row, slice) int16 HU on `stack.grid`, air where a tilted slice doesn't reach; and what is to be said of
    its values. Raises StudyError, UnsupportedStudy for what can't be HU."""
    decoder = Decoder(voxels=len(stack.slices) * int(np.prod(stack.slices[0].shape)))
    array = _filled(stack, decoder)
    notices: tuple[str, ...] = ()
    if decoder.beyond:
        notices = (
            f"{decoder.beyond} values need one bit more than the header promises: kept as they are (metal?), "
            "look at the brightest places",
        )
    verdict = judge(np.concatenate(decoder.seen), stack.grid.shape)
    if verdict.offset:
        del array
        array = _filled(stack, Decoder(verdict.offset))
    return array, (*notices, *verdict.notices)


def _filled(stack: Stack, decoder: Decoder) -> np.ndarray:
    columns, rows, count = stack.grid.shape
    array = np.empty((count, rows, columns), dtype=np.int16)
    done = _read_straight(stack, array, decoder)
    planes: dict[int, np.ndarray] = {}

    def plane(number: int) -> np.ndarray:
        if number not in planes:
            for old in [k for k in planes if k < number - 1]:
                del planes[old]
            planes[number] = moved(
                decoder.hounsfield(stack.slices[number]), stack.shift[number], (rows, columns)
            )
        return planes[number]

    for k, (below, weight) in enumerate(zip(stack.below.tolist(), stack.weight.tolist())):
        if k in done:
            continue
        if weight == 0.0:
            array[k] = plane(below)
        elif weight == 1.0:
            array[k] = plane(below + 1)
        else:
            array[k] = np.rint((1 - weight) * plane(below) + weight * plane(below + 1))
    return array.T


def _read_straight(stack: Stack, array: np.ndarray, decoder: Decoder) -> set[int]:
    """Fills those slices of `array` (count, rows, columns) that need no decoder, by threads, where every slice of the
    volume is one of the files'; their numbers."""
    numbers = (stack.below + (stack.weight == 1.0)).tolist()
    if stack.shift.any() or not np.isin(stack.weight, (0.0, 1.0)).all() or len(set(numbers)) != len(numbers):
        return set()
    slices = [stack.slices[number] for number in numbers]

    def read(k: int) -> np.ndarray | None:
        if (values := slices[k].plain) is None:
            return None
        return read_plain(slices[k].source, values, array[k], decoder.offset, decoder.voxels)

    with ThreadPoolExecutor(min(MOST_THREADS, usable_cores())) as threads:
        samples = list(threads.map(read, range(len(slices))))
    decoder.seen += [sample for sample in samples if sample is not None and decoder.voxels]
    return {k for k, sample in enumerate(samples) if sample is not None}


def moved(plane: np.ndarray, shift: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """`plane` (rows, columns) with its first pixel at `shift` (column, row) >= 0 of a larger one of `shape`; linear
    between pixels, air around."""
    shift = np.where(np.abs(shift - np.rint(shift)) <= WHOLE_PIXEL, np.rint(shift), shift)
    if not shift.any() and plane.shape == shape:
        return plane
    whole, part = np.floor(shift).astype(int), shift - np.floor(shift)
    result = np.full(shape, AIR_HU, dtype=np.float32)
    result[whole[1] : whole[1] + plane.shape[0], whole[0] : whole[0] + plane.shape[1]] = plane
    for axis, fraction in ((0, part[1]), (1, part[0])):
        if fraction > 0:
            before = np.roll(
                result, 1, axis=axis
            )  # the last row or column is air: the matrix was made large enough
            result += np.float32(fraction) * (before - result)
    return np.rint(result).astype(np.int16)
