"""Bytes of a DICOM file -> the elements asked for, whatever state the bytes are in."""

import io
import struct
import warnings
import zlib
from collections.abc import Sequence
from typing import Any, BinaryIO

import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from common.errors import CorruptFile, UnsupportedStudy
from common.reading.sources import MAX_FILE_BYTES, Source

DEFLATED = DeflatedExplicitVRLittleEndian.encode()
META = 132
"""Where the file meta begins, after preamble and `DICM`."""


def opened(source: Source) -> BinaryIO:
    """The file's bytes, seekable, unpacked when it is deflated as a whole. Raises CorruptFile, UnsupportedStudy."""
    stream = source.open()
    start = stream.read(4096)
    stream.seek(0)
    if start[128:META] != b"DICM" or DEFLATED not in start:
        return stream
    with stream:
        return io.BytesIO(_inflated(source, stream.read()))


def parse(source: Source, stream: BinaryIO, tags: Sequence[str | int], **options: Any) -> pydicom.Dataset:
    """The named tags of a DICOM file. Raises CorruptFile, whatever pydicom stumbles over."""
    named: list[Any] = list(tags)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # a file that ends too soon is a mere warning to pydicom, and an empty data set
        warnings.filterwarnings("error", message="(?i).*end of file")
        try:
            return pydicom.dcmread(stream, specific_tags=named, **options)
        except Exception as error:  # a parser on damaged bytes may raise anything
            raise CorruptFile(
                f"{source.name}: damaged DICOM ({brief(error)}); copy the study again"
            ) from None


def whole_number(dataset: pydicom.Dataset, tag: str) -> int | None:
    """A value that is only a hint; None where it is absent or no whole number."""
    try:
        return int(dataset[tag].value)
    except Exception:  # damaged values raise anything when they are looked at, and a hint refuses nothing
        return None


def brief(error: Exception) -> str:
    """One line of a library's error."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:120]


def _inflated(source: Source, content: bytes) -> bytes:
    """The same file as explicit VR little endian (PS3.5 A.5); pydicom's own unpacking knows no limit."""
    (length,) = struct.unpack("<I", content[META + 8 : META + 12])
    end = META + 12 + length
    plain = ExplicitVRLittleEndian.encode().ljust(len(DEFLATED), b"\0")
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        body = unpacker.decompress(content[end:], MAX_FILE_BYTES)
    except zlib.error as error:
        raise CorruptFile(
            f"{source.name}: deflated data are damaged ({error}); copy the study again"
        ) from None
    if unpacker.unconsumed_tail:
        raise UnsupportedStudy(
            f"{source.name}: unpacks to more than {MAX_FILE_BYTES / 2**30:.0f} GiB; refused"
        )
    if not unpacker.eof:
        raise CorruptFile(f"{source.name}: cut off, its deflated data have no end; copy the study again")
    return content[:end].replace(DEFLATED, plain) + body
