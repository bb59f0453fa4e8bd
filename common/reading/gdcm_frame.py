"""12-bit JPEG Extended through gdcm, which pydicom doesn't ask it for."""

import numpy as np
import pydicom

NEAR_END = 64
"""Stored values; rounding takes a lossy picture no further beyond its ends."""


def decode(stream: bytes, dataset: pydicom.Dataset, bits: int) -> np.ndarray:
    """One frame's stream of `bits` bits -> (rows, columns) int16 or uint16, as stored.

    gdcm 3.2 lets a value that is rounded to -1 wrap round to 4095, so a picture that comes near the upper end may be
    wrong and is refused. Raises NotImplementedError then, RuntimeError for a damaged stream.
    """
    import gdcm

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(stream)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((int(dataset.Columns), int(dataset.Rows), 1))
    grey = gdcm.PhotometricInterpretation.MONOCHROME2
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(grey))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, bits, bits - 1, int(dataset.PixelRepresentation)))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    image.SetDataElement(element)
    content = image.GetBuffer().encode("utf-8", "surrogateescape")
    expected = 2 * int(dataset.Rows) * int(dataset.Columns)
    if len(content) != expected:
        raise RuntimeError(f"decoded to {len(content)} bytes, expected {expected}")
    pixels = np.frombuffer(content, "<u2").reshape(int(dataset.Rows), int(dataset.Columns))
    if dataset.PixelRepresentation or pixels.max() >= 2**bits - NEAR_END:
        raise NotImplementedError("gdcm's decoder is wrong at the ends of the range, which are reached here")
    return pixels
