"""One slice's pixels in a compressed transfer syntax, through python-gdcm."""

import gdcm
import numpy as np


def encode(frame: np.ndarray, transfer_syntax: str) -> bytes:
    """frame (rows, columns) int16 or uint16 -> its losslessly compressed stream.

    Raises RuntimeError when gdcm can't compress it.
    """
    rows, columns = frame.shape
    # Only an image that a writer owns holds its pixels safely; `writer` has to outlive `image`.
    writer = gdcm.ImageWriter()
    image = writer.GetImage()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    grey = gdcm.PhotometricInterpretation.MONOCHROME2
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(grey))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, 16, 15, int(frame.dtype.kind == "i")))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.ImplicitVRLittleEndian))
    pixels = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    pixels.SetByteStringValue(frame.astype(frame.dtype.newbyteorder("<")).tobytes())
    image.SetDataElement(pixels)

    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(transfer_syntax)))
    change.SetInput(image)
    if not change.Change():
        raise RuntimeError(f"gdcm can't compress a {frame.dtype} slice {frame.shape} as {transfer_syntax}")
    fragments = change.GetOutput().GetDataElement().GetSequenceOfFragments()
    buffers = [fragments.GetFragment(i).GetByteValue().GetBuffer() for i in range(fragments.GetNumberOfFragments())]
    return b"".join(buffer.encode("utf-8", "surrogateescape") for buffer in buffers)
