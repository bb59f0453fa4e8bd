"""The bytes of one slice's DICOM file: what all slices of a study share is encoded once, by pydicom."""

import struct
from collections.abc import Mapping
from io import BytesIO

from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset, FileDataset
from pydicom.tag import Tag

UNDEFINED = 0xFFFFFFFF
WIDE = {"OB", "OW"}
"""Value representations of ours whose length takes four bytes after two empty ones (PS3.5 7.1.2)."""
GROUP_LENGTH, META_INSTANCE, PIXELS = 0x00020000, 0x00020003, 0x7FE00010
END_OF_FRAGMENTS = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


class SliceFiles:
    """`shared`: a dataset with its file's meta information, without PixelData, in explicit or implicit VR little
    endian. A file that it makes has the bytes that pydicom would write."""

    def __init__(self, shared: FileDataset) -> None:
        buffer = BytesIO()
        shared.save_as(buffer, enforce_file_format=True)
        buffer.seek(0)
        written = dcmread(buffer)
        self._implicit = written.file_meta.TransferSyntaxUID.is_implicit_VR
        self._meta = {tag: _element(tag, kind, value, False) for tag, kind, value in _raw(written.file_meta)}
        self._elements = {tag: self._encoded(tag, kind, value) for tag, kind, value in _raw(written)}

    def content(self, changed: Mapping[str, str], pixels: bytes, fragments: bool) -> bytes:
        """The file of the slice whose elements `changed`, keyword -> text, differ from those shared. `pixels`: as they
        are, or `fragments` as pydicom's `encapsulate` lays them."""
        elements = dict(self._elements)
        for keyword, text in changed.items():
            tag, kind = int(Tag(keyword)), dictionary_VR(keyword)
            elements[tag] = self._encoded(tag, kind, text.encode("ascii"))
        elements[PIXELS] = self._encoded(PIXELS, "OB" if fragments else "OW", pixels, fragments)
        instance = changed["SOPInstanceUID"].encode("ascii")
        meta = self._meta | {META_INSTANCE: _element(META_INSTANCE, "UI", instance, False)}
        length = sum(len(element) for tag, element in meta.items() if tag != GROUP_LENGTH)
        meta[GROUP_LENGTH] = _element(GROUP_LENGTH, "UL", struct.pack("<I", length), False)
        end = END_OF_FRAGMENTS if fragments else b""
        parts = (part[tag] for part in (meta, elements) for tag in sorted(part))
        return b"".join([bytes(128), b"DICM", *parts, end])

    def _encoded(self, tag: int, kind: str | None, value: bytes, fragments: bool = False) -> bytes:
        return _element(tag, kind, value, self._implicit, fragments)


def _raw(dataset: Dataset) -> list[tuple[int, str | None, bytes]]:
    """Tag, value representation (None where the file doesn't say) and value of the elements as a file holds them."""
    found: list[tuple[int, str | None, bytes]] = []
    for tag in sorted(dataset.keys()):
        raw = dataset.get_item(tag)
        found.append((int(tag), raw.VR, raw.value if isinstance(raw.value, bytes) else str(raw.value).encode("ascii")))
    return found


def _element(tag: int, kind: str | None, value: bytes, implicit: bool, fragments: bool = False) -> bytes:
    if len(value) % 2:
        value += b"\0" if kind in ("UI", *WIDE) else b" "
    length = UNDEFINED if fragments else len(value)
    start = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if implicit:
        return start + struct.pack("<I", length) + value
    start += (kind or "UN").encode()
    return start + (struct.pack("<HI", 0, length) if kind in WIDE else struct.pack("<H", length)) + value
