"""Ways to spoil a study: bytes flipped, cut, blanked and repeated; header fields given odd values; files mixed up."""

import gzip
import struct
import zipfile
import zlib
from pathlib import Path
from random import Random
from typing import Any

import pydicom
from pydicom.datadict import tag_for_keyword

ODD_NUMBERS = (0, 1, 2, 7, 8, 12, 15, 16, 17, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1)
ODD_REALS = (0.0, -1.0, 1e-30, 1e30, -1e9, float("nan"), float("inf"), 1e6, 3.7e-5, 180.0)
ODD_TEXTS = (
    b"", b"0", b"-1", b"nan", b"inf", b"1e400", b"1\\2", b"1\\2\\3", b"0\\0\\0", b"1\\0\\0\\1\\0\\0", b"x" * 300,
    b"\xff\xfe\x00", b"1e-9\\1e-9", b"9" * 40, b"0.5\\nan", b"\\\\\\", b"../../etc/passwd", b"1.2.840.10008.1.2.4.90",
)  # fmt: skip
DICOM_TAGS = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
    "PhotometricInterpretation", "NumberOfFrames", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient",
    "RescaleSlope", "RescaleIntercept", "RescaleType", "PixelPaddingValue", "Modality", "SOPClassUID", "ImageType",
    "StudyInstanceUID", "SeriesInstanceUID", "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence",
    "PixelData", "AcquisitionNumber", "ConvolutionKernel", "SpecificCharacterSet", "TransferSyntaxUID",
)  # fmt: skip
NIFTI_FIELDS = (
    [("<h", 40 + 2 * k) for k in range(8)]  # dim
    + [("<h", 70), ("<h", 72), ("<h", 252), ("<h", 254), ("<i", 0), ("<B", 123)]  # types, codes, units
    + [("<f", 76 + 4 * k) for k in range(8)]  # pixdim
    + [("<f", 108), ("<f", 112), ("<f", 116)]  # vox_offset, slope, intercept
    + [("<f", 256 + 4 * k) for k in range(6)]  # quaternion
    + [("<f", 280 + 4 * k) for k in range(12)]  # sform
    + [("<q", 16 + 8 * k) for k in range(8)]  # dim of NIfTI-2
    + [("<q", 168), ("<d", 104), ("<d", 176), ("<d", 184)]
)
NAMES = (
    "../out.dcm",
    "/tmp/out.dcm",
    "a/../../b",
    "C:\\x",
    "",
    "/",
    "link",
    "x" * 300,
    "study/1.dcm",
    "a\0b",
    ".hidden",
)


def spoil(study: Path, rng: Random) -> str:
    """Damages a copy of a seed in place; returns what was done, in a few words."""
    done = []
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if study.is_dir():
            done.append(_spoil_folder(study, rng))
        elif study.suffix == ".zip":
            done.append(rng.choice((_spoil_bytes, _spoil_members))(study, rng))
        elif study.suffix == ".gz" and rng.random() < 0.6:
            done.append("in gzip " + _spoil_packed(study, rng))
        else:
            done.append(rng.choice((_spoil_bytes, _spoil_nifti))(study, rng))
    return "; ".join(done)


def spoiled_bytes(content: bytes, rng: Random) -> tuple[bytes, str]:
    """A damaged copy of any bytes."""
    data = bytearray(content)
    if not data:
        return bytes(rng.randbytes(rng.randrange(64))), "bytes from nothing"
    # half of the damage near the start, where headers are
    place = rng.randrange(min(len(data), 1200)) if rng.random() < 0.5 else rng.randrange(len(data))
    length = min(rng.choice((1, 2, 4, 8, 64, 1000)), len(data) - place)
    way = rng.randrange(8)
    if way == 0:
        for _ in range(rng.choice((1, 2, 8, 40))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif way == 1:
        data[place] = rng.randrange(256)
    elif way == 2:
        del data[place:]
    elif way == 3:
        data[place : place + length] = bytes(length)
    elif way == 4:
        del data[place : place + length]
    elif way == 5:
        data[place:place] = data[place : place + length] * rng.choice((1, 2, 50))
    elif way == 6:
        number = rng.choice(ODD_NUMBERS)
        packed = (
            struct.pack(rng.choice("<>") + "I", number) if rng.random() < 0.5 else number.to_bytes(8)[-2:]
        )
        data[place : place + len(packed)] = packed
    else:
        data[place : place + length] = rng.randbytes(length)
    return bytes(data), f"way {way} at {place}"


def _spoil_bytes(path: Path, rng: Random) -> str:
    content, how = spoiled_bytes(path.read_bytes(), rng)
    path.write_bytes(content)
    return f"{path.name}: {how}"


def _spoil_packed(path: Path, rng: Random) -> str:
    try:
        inner = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, ValueError, zlib.error):
        return _spoil_bytes(path, rng)
    plain = path.with_name("inner")
    plain.write_bytes(inner)
    how = rng.choice((_spoil_bytes, _spoil_nifti))(plain, rng)
    path.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    return how


def _spoil_nifti(path: Path, rng: Random) -> str:
    content = bytearray(path.read_bytes())
    form, place = rng.choice(NIFTI_FIELDS)
    if len(content) < place + 8:
        return _spoil_bytes(path, rng)
    value = rng.choice(ODD_REALS) if form[1] in "fd" else rng.choice(ODD_NUMBERS) * rng.choice((1, -1))
    bits = 8 * struct.calcsize(form)
    if form[1] not in "fd":
        value = value % 2**bits
        form = form[0] + form[1].upper()
    struct.pack_into(form, content, place, value)
    path.write_bytes(content)
    return f"field at {place} = {value}"


def _spoil_folder(study: Path, rng: Random) -> str:
    files = sorted(path for path in study.rglob("*") if path.is_file())
    if not files:
        return "nothing left"
    path, other = rng.choice(files), rng.choice(files)
    way = rng.randrange(10)
    if way < 4:
        return _spoil_bytes(path, rng)
    if way < 8:
        return _spoil_tag(path, rng)
    if way == 8:
        path.unlink() if rng.random() < 0.5 else path.write_bytes(other.read_bytes())
        return f"{path.name} removed or replaced"
    (study / rng.choice(("copy.dcm", "DICOMDIR", "x", "sub.dcm"))).write_bytes(path.read_bytes())
    return f"{path.name} doubled"


def _spoil_tag(path: Path, rng: Random) -> str:
    """Writes an odd value into an element, past every check that pydicom has for values."""
    keyword = rng.choice(DICOM_TAGS)
    try:
        dataset = pydicom.dcmread(path)
        meta = keyword == "TransferSyntaxUID"
        holder = dataset.file_meta if meta else dataset
        tag: Any = tag_for_keyword(keyword)
        if rng.random() < 0.15:
            del holder[tag]
        else:
            old = holder.get_item(tag)
            vr = old.VR if old is not None and old.VR else "LO"
            if vr in ("US", "SS") or isinstance(old and old.value, int):
                value = struct.pack("<H", rng.choice(ODD_NUMBERS) & 0xFFFF) * rng.choice((1, 1, 1, 2))
            else:
                value = rng.choice(ODD_TEXTS)
            value += b" " * (len(value) % 2)
            raw = pydicom.dataelem.RawDataElement(tag, vr, len(value), value, 0, False, True)
            dict.__setitem__(holder._dict, tag, raw) if isinstance(holder._dict, dict) else None
        dataset.save_as(path, enforce_file_format=False)
    except Exception as error:  # what pydicom refuses to write is spoilt by bytes instead
        return _spoil_bytes(path, rng) + f" (instead of {keyword}: {type(error).__name__})"
    return f"{path.name}: {keyword} odd"


def _spoil_members(path: Path, rng: Random) -> str:
    """Rebuilds a zip with one member renamed, linked, spoilt, repeated or lying about its size."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [(info, archive.read(info)) for info in archive.infolist()]
    except Exception:  # spoilt by an earlier round
        return _spoil_bytes(path, rng)
    chosen = rng.randrange(len(members)) if members else -1
    way = rng.randrange(4)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for k, (info, content) in enumerate(members):
            name = info.filename
            entry = zipfile.ZipInfo(name)
            if k == chosen and way == 0:
                entry = zipfile.ZipInfo(rng.choice(NAMES) or "n")
            if k == chosen and way == 1:
                entry.external_attr = 0o120777 << 16
            if k == chosen and way == 2:
                content, _ = spoiled_bytes(content, rng)
            if k == chosen and way == 3:
                archive.writestr("bomb.dcm", bytes(rng.choice((10**6, 5 * 10**7))), zipfile.ZIP_DEFLATED)
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return f"member {chosen}, way {way}"
