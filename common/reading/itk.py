"""NRRD and MetaImage, the files of 3D Slicer and ITK: SimpleITK reads them after a strict look at the header."""

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from common.errors import ConfigError, CorruptFile, NothingFound, OutputError, UnsupportedStudy
from common.image_names import ITK
from common.outputs.store import atomic
from common.reading.captured_stderr import captured
from common.reading.itk_header import LONGEST_HEADER, ItkHeader, read_header
from common.reading.nifti import CHUNK, MAX_BYTES, usable
from common.reading.sources import no_permission
from common.volume import Volume

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def is_itk(path: Path) -> bool:
    """True when the name ends in .nrrd, .mha or .mhd."""
    return Path(path).name.lower().endswith(ITK)


def read_itk(path: Path) -> Volume:
    """A 3D NRRD or MetaImage: array (X, Y, Z) in the file's own type, float32 for fractions; affine voxel -> RAS mm.

    The whole file is read and checked. Voxels in a second file are read from the header's own folder alone. Raises
    NothingFound, CorruptFile, UnsupportedStudy (4D, vectors, NaN, a place that isn't said), StudyError.
    """
    path = Path(path)
    header = _checked_header(path)
    array, affine = _read(path, header)
    if not usable(affine):
        raise UnsupportedStudy(f"{path}: affine isn't usable: {affine.tolist()}; write the voxels' place in mm")
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            array = array.astype(np.float32, copy=False)
        if not np.isfinite(array).all():
            raise UnsupportedStudy(f"{path}: holds NaN or infinity; replace them by air (-1024) first")
    return Volume(array, affine)


def write_itk(volume: Volume, path: Path, fields: Mapping[str, str] | None = None) -> None:
    """Writes `volume` atomically as .nrrd or .mha, packed; bool becomes uint8. `fields`: further ones for the header.
    Raises ConfigError for .mhd, which would be two files, OutputError."""
    import SimpleITK

    if path.name.lower().endswith(".mhd"):
        raise ConfigError(f"{path}: .mhd is two files, which can part; name it .mha, the same in one")
    array = volume.array
    if array.dtype in (bool, np.float16):
        array = array.astype(np.uint8 if array.dtype == bool else np.float32)
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array.T))
    lps = LPS_TO_RAS @ volume.affine
    image.SetSpacing(volume.spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / volume.spacing).ravel().tolist())
    for name, value in (fields or {}).items():
        image.SetMetaData(name, value)
    with atomic(path) as scratch:
        try:
            SimpleITK.WriteImage(image, str(scratch), useCompression=True)
        except RuntimeError as error:
            raise OutputError(f"{path}: SimpleITK can't write it; is the disk full? Make room and run again") from error


def files_of(path: Path) -> list[Path]:
    """The file, and the one beside it that holds its voxels, if any. Raises as `read_itk`."""
    return list(dict.fromkeys((path, _checked_header(path).data)))


def _checked_header(path: Path) -> ItkHeader:
    """The header, after the file with the voxels was held against it. Raises StudyError."""
    if not path.exists():
        raise NothingFound(f"{path}: no such file")
    if not path.is_file():
        raise UnsupportedStudy(f"{path}: not a file; give the {', '.join(ITK)} itself")
    try:
        with path.open("rb") as file:
            header = read_header(path, file.read(LONGEST_HEADER))
        if header.size > MAX_BYTES:
            raise UnsupportedStudy(
                f"{path}: its header promises {header.shape} voxels, {header.size / 2**30:.1f} GiB; at most "
                f"{MAX_BYTES / 2**30:.0f} GiB are read"
            )
        found = sum(len(part) for part in _unpacked(header))
    except PermissionError:
        raise no_permission(str(path)) from None
    except (OSError, zlib.error) as error:
        raise CorruptFile(f"{path}: cut off or damaged ({error}); copy it again") from None
    if found != header.size:
        raise CorruptFile(f"{path}: its voxels take {found} bytes, expected {header.size}; copy it again")
    return header


def _unpacked(header: ItkHeader) -> Iterator[bytes]:
    """The voxels' bytes, unpacked, to the end of the stream with its check sum, or a little more than are promised."""
    left = header.size + 1
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # zlib's or gzip's, as it begins
    with header.data.open("rb") as file:
        file.seek(header.begin)
        while left > 0 and (part := file.read(CHUNK)):
            while header.packed and part and left > 0 and not unpacker.eof:
                plain = unpacker.decompress(part, CHUNK)
                part, left = unpacker.unconsumed_tail, left - len(plain)
                yield plain
            if not header.packed:
                left -= len(part)
                yield part
    if header.packed and left > 0:
        yield unpacker.flush()
    if header.packed and left > 0 and not unpacker.eof:
        raise zlib.error("the packed voxels have no end")


def _read(path: Path, header: ItkHeader) -> tuple[np.ndarray, np.ndarray]:
    """Array (X, Y, Z) and affine. Its own reader is named, so that none of ITK's others guesses at the content."""
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("NrrdImageIO" if path.name.lower().endswith(".nrrd") else "MetaImageIO")
    reader.SetFileName(str(path))
    try:
        with captured():
            image = reader.Execute()
    except RuntimeError:  # its message may quote the header
        raise CorruptFile(f"{path}: SimpleITK can't read it; copy it again") from None
    array = SimpleITK.GetArrayFromImage(image).T
    if array.shape != header.shape or array.dtype != header.kind:
        raise CorruptFile(f"{path}: its header can be read in two ways; write it again with 3D Slicer or SimpleITK")
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return array, LPS_TO_RAS @ affine + 0.0  # no -0.0
