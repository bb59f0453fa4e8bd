"""Lossless compressed slices decoded by imagecodecs, which lets go of the interpreter's lock meanwhile, so that several
threads decode at a time; python-gdcm, which `decode` uses, holds it.

Nothing is refused here: what is damaged or unusual is left to `decode`, and so is all where imagecodecs is missing.
"""

import struct
from functools import cache
from types import ModuleType

import numpy as np
from pydicom.uid import UID, JPEG2000Lossless, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless

from common.reading import codestream, lossless_jpeg

SYNTAXES = (JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless)
ITEM, NO_MORE_ITEMS = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"
"""What DICOM writes around the parts of a compressed frame (PS3.5 A.4)."""
JPEG_LS_FRAME, JPEG_LS_PARAMETERS = 0xF7, 0xF8
"""Markers of JPEG-LS (ITU-T T.87, table C.1)."""
START_OF_TILE_PART, CODING_STYLE, CODING_STYLE_OF_COMPONENT = b"\xff\x90", b"\xff\x52", b"\xff\x53"
"""Markers of JPEG 2000 (ITU-T T.800, annex A)."""


def decodable(syntax: UID | None) -> bool:
    """Whether `decode_into` may know what to do with slices of this transfer syntax."""
    return syntax in SYNTAXES and _imagecodecs() is not None


def decode_into(items: bytes, syntax: UID, out: np.ndarray, stored: int) -> bool:
    """Fills `out` (rows, columns) int16 or uint16 with the values of a file's only frame, those of fewer bits than 16
    as `decode` has them. `items`: all that follows PixelData's element in the file; `stored`: BitsStored. False where
    `decode` has to look, then `out` holds anything. May run in many threads."""
    stream = only_frame(items)
    if stream is None:
        return False
    try:
        promise = codestream.inspect(stream, syntax, out.size)
        if promise is None or not _as_expected(promise, out, stored):
            return False
        _decode(stream, syntax, out, promise)
        if syntax in (JPEGLossless, JPEGLosslessSV1) and not lossless_jpeg.fills(stream, out.view(np.uint16)):
            return False
    except Exception:  # damage of any kind: `decode` says which
        return False
    if out.dtype.kind == "i" and promise.signed is None and promise.bits < 16:  # JPEG knows no sign
        out <<= 16 - promise.bits
        out >>= 16 - promise.bits
    return True


def only_frame(items: bytes) -> bytes | None:
    """The stream of the only frame, put together of its parts; None where they don't end with the file."""
    parts: list[bytes] = []
    place = 0
    while items[place : place + 4] == ITEM:
        (length,) = struct.unpack_from("<I", items, place + 4)
        parts.append(items[place + 8 : place + 8 + length])
        place += 8 + length
    return b"".join(parts[1:]) if items[place:] == NO_MORE_ITEMS else None


def _as_expected(promise: codestream.Promise, out: np.ndarray, stored: int) -> bool:
    signed = out.dtype.kind == "i"
    if (promise.rows, promise.columns, promise.components) != (*out.shape, 1) or not 8 < promise.bits <= 16:
        return False
    if promise.signed or not signed:
        return signed or not promise.signed
    return promise.bits == 16 or (promise.signed is None and promise.bits == stored)


def _decode(stream: bytes, syntax: UID, out: np.ndarray, promise: codestream.Promise) -> None:
    """Raises anything for what isn't decoded here."""
    library = _imagecodecs()
    if library is None:
        raise RuntimeError("imagecodecs isn't installed")
    if syntax == JPEG2000Lossless:
        _refuse_odd_jpeg2000(stream)
        library.jpeg2k_decode(stream, numthreads=1, out=out if promise.signed else out.view(np.uint16))
    elif syntax == JPEGLSLossless:
        _refuse_odd_jpeg_ls(stream, promise.bits)
        library.jpegls_decode(stream, out=out.view(np.uint16))
    else:
        library.jpeg8_decode(stream, out=out.view(np.uint16))


def _refuse_odd_jpeg_ls(stream: bytes, bits: int) -> None:
    """Raises ValueError unless a stream has a plain frame, a plain scan without loss, and at most the parameters that
    hold where none are given (ITU-T T.87, C.2.4.1.1): decoders differ in what others they take."""
    highest = 2**bits - 1
    factor = (min(highest, 4095) + 128) // 256
    usual = struct.pack(">B5H", 1, highest, factor + 2, 4 * factor + 3, 17 * factor + 4, 64)
    for marker, place, length in codestream.segments(stream):
        content = stream[place + 4 : place + 2 + length]
        plain = (
            (marker == JPEG_LS_FRAME and content[7:] == b"\x11\0")
            or (marker == JPEG_LS_PARAMETERS and content == usual)
            or (marker == codestream.START_OF_SCAN and content[2:] == bytes(4))
        )
        if not plain:
            raise ValueError(f"marker {marker:x} at byte {place}")


def _refuse_odd_jpeg2000(stream: bytes) -> None:
    """Raises ValueError unless a stream stands by itself, its wavelets are of whole numbers, so that all decoders
    agree, and its parts, by their lengths, end where it does."""
    place = stream.find(START_OF_TILE_PART)
    header = stream[:place]
    style = header.find(CODING_STYLE)
    if not stream.startswith(codestream.J2K_START) or CODING_STYLE_OF_COMPONENT in header or header[style + 13] != 1:
        raise ValueError("wrapped, or not reversible")
    while stream.startswith(START_OF_TILE_PART, place):
        (length,) = struct.unpack_from(">I", stream, place + 6)
        place += max(length, len(START_OF_TILE_PART))
    if stream[place:].rstrip(b"\0") != codestream.END:
        raise ValueError("its lengths don't fit")


@cache
def _imagecodecs() -> ModuleType | None:
    try:
        import imagecodecs
    except ImportError:
        return None
    return imagecodecs
