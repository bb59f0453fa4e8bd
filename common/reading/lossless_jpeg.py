"""Whether a picture takes exactly the bits of the lossless JPEG stream that it was decoded from (ITU-T T.81, annex H).

A decoder that goes on over damage fills in zeros for bits that are missing, passes over those that are left, or takes
for 0 what is no code. Then the picture's codes are more or fewer bits, or hold fewer ones, than the stream. Libraries
that hide their decoder's warnings can be held to this.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from common.reading.codestream import END, START_OF_SCAN, segments

TABLES, LOSSLESS_FRAME, RESTARTS = 0xC4, 0xC3, 0xDD
"""Markers of Huffman tables, of a lossless frame and of a restart interval."""
LEFT_NEIGHBOUR = 1
"""The predictor of nearly every DICOM file (selection value 1), the only one that is looked at here."""
CATEGORIES = 17
"""Of differences: 0 for none, n for those of n bits; 16 for 32768 alone, which needs no further bits."""
NO_CODE = 255
"""Bits; more than any code takes with what follows it."""
BLOCK = 32
"""Rows looked at at a time: large arrays are pages that the system has to clear."""
ONE = 2**16
"""What counts for a bit that is set, where 1 counts for any bit."""


@dataclass(frozen=True)
class Scan:
    """The one scan of a stream: its Huffman `table`, as the stream has it, and its `data` (n,) uint8."""

    table: bytes
    data: np.ndarray
    precision: int


def fills(stream: bytes, pixels: np.ndarray) -> bool:
    """Whether `pixels` (rows, columns) uint16 take the bits of `stream`, and the ones among them, to the last. False,
    too, for streams that aren't looked at here: other predictors, restarts, several scans, a point transform. Raises
    anything for one that is damaged before its scan."""
    scan = _scan(stream)
    if scan is None:
        return False
    costs = _costs(scan.table)
    needed = sum(_needed(pixels, start, 2 ** (scan.precision - 1), costs) for start in range(0, len(pixels), BLOCK))
    bits, ones = 8 * len(scan.data), int(np.bitwise_count(scan.data).sum(dtype=np.int64))
    left = (bits - needed) % ONE  # the last byte is filled up with ones
    return left < 8 and ~int(scan.data[-1]) % 2**left == 0 and needed == bits - left + ONE * (ones - left)


def _needed(pixels: np.ndarray, start: int, first: int, costs: np.ndarray) -> int:
    """What BLOCK rows from `start` on cost. `first`: what the first pixel of all is predicted to be."""
    rows = pixels[start : start + BLOCK]
    differences = np.empty_like(rows)
    np.subtract(rows[:, 1:], rows[:, :-1], out=differences[:, 1:])
    above = pixels[start - 1 : start + len(rows) - 1, 0] if start else np.append(np.uint16(first), rows[:-1, 0])
    np.subtract(rows[:, 0], above, out=differences[:, 0])
    return int(costs.take(differences).sum(dtype=np.int64))


def _scan(stream: bytes) -> Scan | None:
    tables: dict[int, bytes] = {}
    precision = 0
    for marker, place, length in segments(stream):
        content = stream[place + 4 : place + 2 + length]
        if marker == TABLES:
            _read_tables(content, tables)
        elif marker == LOSSLESS_FRAME:
            precision = content[0]
        elif marker == RESTARTS:
            return None
        elif marker == START_OF_SCAN:
            components, _, table, predictor, _, transform = content
            data = _data(stream[place + 2 + length :])
            if not precision or data is None or (components, predictor, transform) != (1, LEFT_NEIGHBOUR, 0):
                return None
            return Scan(tables[table >> 4], data, precision)
    return None


def _data(stream: bytes) -> np.ndarray | None:
    """(n,) uint8, without the zeros that follow bytes of ones, up to the end of the picture; None where there are other
    markers or no end."""
    stream = stream.rstrip(b"\0\xff")  # which make its length even
    if not stream.endswith(END):
        return None
    data = np.frombuffer(stream[: -len(END)], np.uint8)
    full = np.flatnonzero(data[:-1] == 0xFF)
    if data[-1] == 0xFF or data[full + 1].any():
        return None
    return np.delete(data, full + 1)


def _read_tables(content: bytes, tables: dict[int, bytes]) -> None:
    while content:
        size = 16 + sum(content[1:17])
        tables[content[0]] = content[1 : 1 + size]
        content = content[1 + size :]


@lru_cache(maxsize=4)
def _costs(table: bytes) -> np.ndarray:
    """(65536,) uint32 by difference, modulo 2 ** 16: how many bits it takes, and ONE for each that is set."""
    codes = np.full(CATEGORIES, NO_CODE, np.uint32)
    code, categories = 0, iter(table[16:])
    for length, count in enumerate(table[:16], 1):
        for _ in range(count):
            codes[next(categories)] = length + ONE * code.bit_count()
            code += 1
        code <<= 1
    category, further = _further_bits()
    return codes[category] + further


@lru_cache(maxsize=1)
def _further_bits() -> tuple[np.ndarray, np.ndarray]:
    """(65536,) by difference: its category; the cost of the bits after its code, which say which of the category it is:
    its own, or for negative ones those of what is one less."""
    difference = np.arange(2**16, dtype=np.uint16).view(np.int16).astype(np.int32)
    size = np.abs(difference)
    category = np.frexp(size)[1]
    ones = np.where(difference < 0, category - np.bitwise_count(size), np.bitwise_count(size))
    return category, np.where(category == 16, 0, category + ONE * ones).astype(np.uint32)
