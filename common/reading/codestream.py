"""Compressed pixels looked at before they are decoded: whether the stream is whole and as large as the header says.

Decoders take memory for what a stream promises, and fill what is missing with zeros or noise.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from pydicom.uid import UID, JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes, RLELossless

START_OF_FRAME = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7}
"""JPEG's SOF markers (ITU-T T.81, table B.1) and JPEG-LS's SOF55 (T.87)."""
START_OF_SCAN, END = 0xDA, b"\xff\xd9"
J2K_START = b"\xff\x4f\xff\x51"
J2K_IN_STREAM = (0x90, 0x91, 0x92, 0x93)
"""Markers of JPEG 2000 that stand between its packets: SOT, SOP, EPH, SOD (T.800, table A.1)."""
SILENT_BYTES = 512
"""So many zero bytes in a row don't occur in a JPEG 2000 stream of one slice."""
RLE_HEADER = 64


@dataclass(frozen=True)
class Promise:
    """What a stream says of itself. `signed` is known for JPEG 2000 alone."""

    rows: int
    columns: int
    components: int
    bits: int
    signed: bool | None = None


class Damaged(Exception):
    """The stream isn't whole; its text says why."""


def inspect(stream: bytes, syntax: UID, pixels: int) -> Promise | None:
    """What a frame's stream promises; None for RLE, which promises nothing but has to fill `pixels` values exactly,
    and for a syntax not looked at here. Raises Damaged."""
    try:
        if syntax in JPEG2000TransferSyntaxes:
            return _inspect_jpeg2000(stream)
        if syntax in JPEGTransferSyntaxes or syntax in JPEGLSTransferSyntaxes:
            return _inspect_jpeg(stream)
        if syntax == RLELossless:
            _inspect_rle(stream, pixels)
    except (IndexError, struct.error):
        raise Damaged("its stream ends within its header") from None
    return None


def segments(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """A JPEG stream's markers up to the start of its scan: which, its first byte, the length of what it heads. Raises
    Damaged, IndexError and struct.error where it isn't one."""
    if stream[:2] != b"\xff\xd8":
        raise Damaged("its stream doesn't begin as JPEG")
    place = 2
    while True:
        while stream[place] == 0xFF and stream[place + 1] == 0xFF:  # fill bytes
            place += 1
        if stream[place] != 0xFF:
            raise Damaged(f"byte {place} of its stream should be a marker")
        marker = stream[place + 1]
        (length,) = struct.unpack(">H", stream[place + 2 : place + 4])
        yield marker, place, length
        if marker == START_OF_SCAN:
            return
        if length < 2 or marker == END[1]:
            raise Damaged("its stream holds no picture")
        place += 2 + length


def _inspect_jpeg(stream: bytes) -> Promise:
    promise = None
    for marker, place, _ in segments(stream):
        if marker in START_OF_FRAME:
            bits, rows, columns, components = struct.unpack(">BHHB", stream[place + 4 : place + 10])
            promise = Promise(rows, columns, components, bits)
    if promise is None:
        raise Damaged("its stream never says how large it is")
    if END not in stream[-8:] and not stream.rstrip(b"\0").endswith(END):
        raise Damaged("its stream has no end marker")
    return promise


def _inspect_jpeg2000(stream: bytes) -> Promise:
    start = stream.find(J2K_START, 0, 4096)  # some files wrap the stream in JP2 boxes
    if start < 0:
        raise Damaged("its stream doesn't begin as JPEG 2000")
    place = start + 8  # after SOC, SIZ, its length and its capabilities
    columns, rows, left, top = struct.unpack(">4I", stream[place : place + 16])
    (components,) = struct.unpack(">H", stream[place + 32 : place + 34])
    depth = stream[place + 34]
    end = stream.rfind(END)
    if end < 0 or len(stream) - end > 64:
        raise Damaged("its stream has no end marker")
    body = np.frombuffer(stream, np.uint8)[stream.find(b"\xff\x93", place) : end]
    after = body[1:][body[:-1] == 0xFF]
    if ((after > 0x8F) & ~np.isin(after, J2K_IN_STREAM)).any():
        raise Damaged("its stream holds markers where no marker can be")
    if bytes(SILENT_BYTES) in stream[place:end]:
        raise Damaged("a stretch of its stream is blank")
    return Promise(rows - top, columns - left, components, (depth & 0x7F) + 1, bool(depth >> 7))


def _inspect_rle(stream: bytes, pixels: int) -> None:
    """Each segment (one byte of every value; PS3.5 annex G) must end where the picture ends, but for a byte or for
    zeros that fill it up; decoders cut off what is too much."""
    count, *starts = struct.unpack("<16I", stream[:RLE_HEADER])
    if not 1 <= count <= len(starts):
        raise Damaged(f"its stream has {count} segments, 1 to {len(starts)} are possible")
    ends = [*starts[:count], len(stream)]
    for number, (place, end) in enumerate(pairwise(ends), 1):
        if not RLE_HEADER <= place < end <= len(stream):
            raise Damaged(f"segment {number} of its stream has no room")
        filled = 0
        while filled < pixels and place < end:
            run = stream[place]
            place += 1 if run == 128 else 2 if run > 128 else 2 + run
            filled += 0 if run == 128 else 257 - run if run > 128 else 1 + run
        if filled != pixels or place > end:
            raise Damaged(f"segment {number} of its stream doesn't end with the picture")
        if end - place > 1 and stream[place:end].strip(b"\0"):
            raise Damaged(f"segment {number} of its stream goes on after the picture")
