"""Stored values: which bits of them count, and which of them stand for "no measurement"."""

import numpy as np
import pydicom

from common.errors import CorruptFile

HIGHEST_TISSUE = 3071
"""HU that 12-bit CT ends at; padding above it is taken for air, padding below it is left as it is."""
FEW_BEYOND = 0.001
"""Part of a slice's values that may need one bit more than the header promises."""
OVERLAY_BIT = 0x60000102
"""OverlayBitPosition of the first overlay: old files keep drawings in the unused bits."""


def padded(raw: np.ndarray, dataset: pydicom.Dataset) -> np.ndarray | None:
    """Where `raw` is PixelPaddingValue, or lies between it and PixelPaddingRangeLimit; None without padding.

    Files that write the padding with the other sign (63536 for -2000) are understood.
    """
    ends = [dataset.get(tag) for tag in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    ends = [end for end in ends if isinstance(end, int | float)]
    if not ends or dataset.get("PixelPaddingValue") is None:
        return None
    limits, span = np.iinfo(raw.dtype), 2 ** (8 * raw.dtype.itemsize)
    ends = [end - span if end > limits.max else end + span if end < limits.min else end for end in ends]
    return (raw >= min(ends)) & (raw <= max(ends))


def meaningful(
    name: str, raw: np.ndarray, dataset: pydicom.Dataset, padding: np.ndarray | None
) -> tuple[np.ndarray, int]:
    """`raw` as numbers of BitsStored bits: above them a signed value's sign is filled in anew. And how many values were
    kept though they need one bit more: a few of an unsigned picture, such as metal above the range of 12 bits.

    Raises CorruptFile when the bits above say something else, but for padding and for an overlay that the header
    announces there: then either BitsStored or the values are wrong.
    """
    allocated, stored = 8 * raw.dtype.itemsize, int(dataset.BitsStored)
    if stored >= allocated:
        return raw, 0
    if stored < 1 or int(dataset.get("HighBit", stored - 1)) != stored - 1:
        raise CorruptFile(
            f"{name}: {stored} bits stored up to bit {dataset.get('HighBit')}; export the series again"
        )
    shift = allocated - stored
    numbers = (raw << shift) >> shift
    above = raw >> stored
    odd = (numbers != raw) & (above != 0)
    if padding is not None:
        odd &= ~padding
        numbers = np.where(padding, raw, numbers)
    overlay = OVERLAY_BIT in dataset and dataset[OVERLAY_BIT].value
    count = int(odd.sum())
    if not count or overlay:
        return numbers, 0
    if raw.dtype.kind == "u" and (above[odd] == 1).all() and count <= FEW_BEYOND * raw.size:
        return np.where(odd, raw, numbers), count
    raise CorruptFile(
        f"{name}: {count} values need more than the {stored} bits that its header promises, up to {raw[odd].max()}; "
        "export the series again"
    )
