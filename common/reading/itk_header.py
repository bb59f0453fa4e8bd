"""What the header of an NRRD or MetaImage says, held against what is read here before SimpleITK opens the file."""

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import CorruptFile, UnsupportedStudy

NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
LONGEST_HEADER = 2**20
NRRD_TYPES = {
    **dict.fromkeys(("signedchar", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsignedchar", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "shortint", "signedshort", "signedshortint", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsignedshort", "unsignedshortint", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signedint", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsignedint", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "longlongint", "signedlonglong", "signedlonglongint", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsignedlonglong", "unsignedlonglongint", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
META_TYPES = {
    **{"CHAR": "i1", "UCHAR": "u1", "SHORT": "i2", "USHORT": "u2", "INT": "i4", "UINT": "u4", "LONG": "i4"},
    **{"ULONG": "u4", "LONG_LONG": "i8", "ULONG_LONG": "u8", "FLOAT": "f4", "DOUBLE": "f8"},
}
META_PLACE = (
    (("TransformMatrix", "Orientation", "Rotation"), 9),
    (("Offset", "Position", "Origin"), 3),
    (("ElementSpacing",), 3),
)
"""Fields of which one must say the place, and how many numbers it has."""
SPACES = ("left-posterior-superior", "right-anterior-superior", "left-anterior-superior", "lps", "ras", "las")
AGAIN = "write it again with 3D Slicer or SimpleITK"


@dataclass(frozen=True)
class ItkHeader:
    """`shape` (3,) voxels; `kind`: of a voxel; its voxels lie in `data` from byte `begin` on, `packed` by gzip or
    zlib or plain."""

    shape: tuple[int, int, int]
    kind: np.dtype
    data: Path
    begin: int
    packed: bool

    @property
    def size(self) -> int:
        """Bytes of all voxels, unpacked."""
        return math.prod(self.shape) * self.kind.itemsize


def read_header(path: Path, start: bytes) -> ItkHeader:
    """The header of a file that begins with `start` (`LONGEST_HEADER` bytes of it, or all). Raises CorruptFile,
    UnsupportedStudy for what isn't one 3D volume of plain numbers whose place is known, or has its voxels elsewhere."""
    return _nrrd(path, start) if path.name.lower().endswith(".nrrd") else _meta(path, start)


def _nrrd(path: Path, start: bytes) -> ItkHeader:
    """https://teem.sourceforge.net/nrrd/format.html"""
    end = re.search(rb"\r?\n\r?\n", start)
    if not re.match(rb"NRRD000[1-6]\r?\n", start) or end is None:
        raise CorruptFile(f"{path}: not a whole NRRD header; copy the file again")
    fields: dict[str, str] = {}
    for line in start[: end.start()].decode("latin1").splitlines()[1:]:
        name, colon, value = line.partition(":")
        name = re.sub(r"\s", "", name).lower()
        if name == "datafile":
            raise _elsewhere(path)
        if line.startswith("#") or value.startswith("=") or not colon:
            continue
        if name in fields:
            raise CorruptFile(f"{path}: its header has two fields `{name}`; {AGAIN}")
        fields[name] = value.strip()
    if _numbers(path, fields, "dimension") != [3] or len(shape := _numbers(path, fields, "sizes")) != 3:
        raise UnsupportedStudy(f"{path}: {fields.get('dimension')} axes, expected three; split off one frame or part")
    space, directions = fields.get("space", "").lower(), fields.get("spacedirections", "")
    if space not in SPACES or directions.count("(") != 3 or "spaceorigin" not in fields:
        raise UnsupportedStudy(
            f"{path}: needs `space` (left-posterior-superior or alike), three `space directions` and "
            f"`space origin`, else its place is unknown; {AGAIN}"
        )
    if units := set(re.findall(r'"([^"]*)"', fields.get("spaceunits", ""))) - {"mm", ""}:
        raise UnsupportedStudy(f"{path}: its space units are {', '.join(sorted(units))}, expected mm; {AGAIN}")
    encoding = fields.get("encoding", "").lower()
    if encoding not in ("raw", "gzip", "gz") or any(_skips(fields, key) for key in ("byteskip", "lineskip")):
        raise UnsupportedStudy(f"{path}: its encoding isn't plain raw or gzip; {AGAIN}")
    kind = NRRD_TYPES.get(re.sub(r"\s", "", fields.get("type", "")).lower())
    return _header(path, shape, kind, path, end.end(), encoding != "raw")


def _skips(fields: dict[str, str], key: str) -> bool:
    return fields.get(key, "0") != "0"


def _meta(path: Path, start: bytes) -> ItkHeader:
    """https://itk.org/Wiki/ITK/MetaIO/Documentation"""
    end = re.search(rb"^ElementDataFile[ \t]*=[ \t]*([^\r\n]*)(\r?\n|\Z)", start, re.MULTILINE)
    if end is None or start.lower().find(b"elementdatafile") != end.start():
        raise CorruptFile(f"{path}: not a whole MetaImage header; copy the file again")
    fields: dict[str, str] = {}
    for line in start[: end.start()].decode("latin1").splitlines():
        name, equals, value = line.partition("=")
        if not equals or name.strip() in fields:
            raise CorruptFile(f"{path}: its header has `{name.strip()[:40]}` twice or without a value; {AGAIN}")
        fields[name.strip()] = value.strip()
    shape = _numbers(path, fields, "DimSize")
    if _numbers(path, fields, "NDims") != [3] or len(shape) != 3:
        raise UnsupportedStudy(f"{path}: {fields.get('NDims')} axes, expected three; split off one frame")
    if fields.get("ElementNumberOfChannels", "1") != "1":
        raise UnsupportedStudy(f"{path}: several numbers a voxel (colour, vectors), expected one")
    if not all(_place(fields, names, count) for names, count in META_PLACE):
        raise UnsupportedStudy(
            f"{path}: needs a TransformMatrix of 9 numbers, an Offset and ElementSpacing of 3, else its place is "
            f"unknown; {AGAIN}"
        )
    plain = {"BinaryData": "true", "HeaderSize": "0", "ElementToIntensityFunctionSlope": "1"}
    plain["ElementToIntensityFunctionOffset"] = "0"
    for name, expected in plain.items():
        if fields.get(name, expected).lower() != expected:
            raise UnsupportedStudy(f"{path}: {name} is {fields[name][:40]}, expected {expected.title()}; {AGAIN}")
    kind = META_TYPES.get(fields.get("ElementType", "").removeprefix("MET_"))
    data, begin = _data_file(path, end[1].decode("latin1").strip()), 0
    if data == path:
        begin = end.end()
    elif start[end.end() :].strip():
        raise UnsupportedStudy(f"{path}: lists several data files, expected one; {AGAIN}")
    return _header(path, shape, kind, data, begin, fields.get("CompressedData", "False")[:1] in ("T", "t", "1"))


def _place(fields: dict[str, str], names: tuple[str, ...], count: int) -> bool:
    """Whether just one of the fields is there, with `count` numbers. SimpleITK takes words that are none for 0."""
    values = [fields[name].split() for name in names if name in fields]
    return len(values) == 1 and len(values[0]) == count and all(re.fullmatch(NUMBER, word) for word in values[0])


def _data_file(path: Path, name: str) -> Path:
    """Where a MetaImage's voxels lie: in itself, or in one file of the same folder and nowhere else."""
    if name in ("LOCAL", "Local", "local"):
        return path
    if not name.isprintable() or not name or re.search(r"[/\\:%]|^local|^list", name, re.IGNORECASE):
        raise _elsewhere(path)
    data = path.parent / name
    place, own = Path(os.path.realpath(data)), Path(os.path.realpath(path))  # Path.resolve raises for circular links
    if place.parent != Path(os.path.realpath(path.parent)) or place == own:
        raise _elsewhere(path)
    if not data.is_file():
        raise CorruptFile(f"{path}: the file with its voxels ({name}) isn't beside it; copy both")
    return data


def _elsewhere(path: Path) -> UnsupportedStudy:
    return UnsupportedStudy(f"{path}: names other files as its voxels' place; refused, {AGAIN} as one file")


def _numbers(path: Path, fields: dict[str, str], name: str) -> list[int]:
    words = fields.get(name, "").split()
    if not words or not all(re.fullmatch(r"\d{1,9}", word, re.ASCII) for word in words):
        raise CorruptFile(f"{path}: its header has no usable `{name}`; {AGAIN}")
    return [int(word) for word in words]


def _header(path: Path, sizes: list[int], kind: str | None, data: Path, begin: int, packed: bool) -> ItkHeader:
    if kind is None:
        raise UnsupportedStudy(f"{path}: voxels of a type that isn't read, expected plain numbers; {AGAIN}")
    x, y, z = sizes
    if min(sizes) < 1:
        raise UnsupportedStudy(f"{path}: shape {(x, y, z)}, expected three axes")
    return ItkHeader((x, y, z), np.dtype(kind), data, begin, packed)
