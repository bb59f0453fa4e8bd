"""Stored values: which bits of them count, and which of them stand for "no measurement"."""

import numpy as np
import pydicom

from common.errors import CorruptFile

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
) -> np.ndarray:
    """`raw` as numbers of BitsStored bits: above them a signed value's sign is filled in anew.

    Raises CorruptFile when the bits above say something of their own, but for padding and for an overlay that the
    header announces there: then either BitsStored or the values are wrong.
    """
    allocated, stored = 8 * raw.dtype.itemsize, int(dataset.BitsStored)
    if stored >= allocated:
        return raw
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
    if odd.any() and not overlay:
        raise CorruptFile(
            f"{name}: {int(odd.sum())} values need more than the {stored} bits that its header promises; "
            "export the series again"
        )
    return numbers
