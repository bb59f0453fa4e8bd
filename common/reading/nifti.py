"""NIfTI, read strictly and written whole."""

import gzip
import math
import warnings
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np

from common.errors import CorruptFile, NothingFound, UnsupportedStudy
from common.image_names import NIFTI
from common.outputs.store import atomic
from common.reading.parse import brief
from common.reading.sources import no_permission
from common.volume import Grid, Volume

GZIP = b"\x1f\x8b"
HEADER_BYTES = 544
"""A NIfTI-2 header with the four bytes after it."""
MAX_BYTES = 4 * 2**30
"""Headers that promise more are refused before memory is asked for."""
MOST_AFTER_VOXELS = 64 * 2**20
CHUNK = 4 * 2**20


def is_nifti(path: Path) -> bool:
    """True when the name ends in .nii or .nii.gz."""
    return Path(path).name.lower().endswith(NIFTI)


def read_nifti(path: Path) -> Volume:
    """A 3D NIfTI file: array (X, Y, Z) in the file's own type, float32 where the header scales its values;
    affine voxel -> RAS mm (sform, else qform).

    The whole file is read and checked, so a truncated or damaged one is refused. Raises NothingFound,
    CorruptFile, UnsupportedStudy (4D, colour, NaN, no affine).
    """
    path = Path(path)
    content = _bytes(path)
    image = _image(path, content)
    affine, notices = _affine(path, image)
    if image.get_data_dtype().kind not in "iufb":
        raise UnsupportedStudy(f"{path}: voxels are {image.get_data_dtype()}, expected plain numbers")
    shape = image.shape
    if len(shape) < 3 or int(np.prod(shape[3:])) != 1 or min(shape) < 1:
        raise UnsupportedStudy(f"{path}: shape {shape}, expected three axes; split off one frame")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored: Any = image.dataobj  # nibabel's ArrayProxy
            # Where they lie already: nibabel would copy them once more.
            begin, kind = stored.offset, image.get_data_dtype()
            array = np.frombuffer(content, kind, math.prod(shape), begin).reshape(shape, order="F")
            if (stored.slope, stored.inter) != (1, 0):
                array = array * np.float32(stored.slope)
                array += np.float32(stored.inter)  # in place: new memory for a whole scan takes longer than the sum
    except Exception as error:  # a parser on damaged bytes may raise anything
        raise CorruptFile(f"{path}: its voxels can't be read ({brief(error)}); copy it again") from None
    array = np.asarray(array).reshape(shape[:3])
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            array = array.astype(np.float32, copy=False)
        if not np.isfinite([array.min(), array.max()]).all():
            raise UnsupportedStudy(f"{path}: holds NaN or infinity; replace them by air (-1024) first")
    return Volume(array.astype(array.dtype.newbyteorder("="), copy=False), affine, notices)


def write_nifti(volume: Volume, path: Path, steps: int | None = None) -> None:
    """Writes `volume` atomically; sform and qform both have code 1 (scanner), but a qform can't hold the shear of a
    tilted series and has code 0 then. bool becomes uint8. `steps` (255 at most): values 0..1 are kept as uint8, in so
    many steps, which the header says (scl_slope)."""
    array = volume.array
    if steps:
        stepped = np.empty_like(array, np.uint8)
        for k in range(array.shape[2]):  # by planes: new memory for whole scans takes longer than the arithmetic
            stepped[:, :, k] = np.rint(array[:, :, k] * np.float32(steps))
        array = stepped
    elif array.dtype == bool:
        array = array.astype(np.uint8)
    elif array.dtype.kind in "iu" and array.dtype.itemsize > 4:
        array = array.astype(np.int32)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    image = nib.Nifti1Image(array, volume.affine)
    image.set_sform(volume.affine, code=1)
    axes = volume.affine[:3, :3] / volume.spacing
    sheared = np.abs(axes.T @ axes - np.eye(3)).max() > 1e-4
    image.set_qform(volume.affine, code=0 if sheared else 1)
    image.header.set_xyzt_units("mm")
    if steps:
        image.header.set_slope_inter(1 / steps, 0)
    with atomic(path) as scratch:
        nib.save(image, scratch)


def _bytes(path: Path) -> bytearray:
    """The file, unpacked: header and voxels, no more than the header promises. Raises StudyError."""
    if not path.exists():
        raise NothingFound(f"{path}: no such file")
    if not path.is_file():
        raise UnsupportedStudy(f"{path}: not a file; give the .nii or .nii.gz itself")
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP
            file.seek(0)
            stream = gzip.GzipFile(fileobj=file) if packed else file
            start = stream.read(HEADER_BYTES)
            size = _promised_bytes(path, start)
            content = bytearray(start)
            while len(content) < size and (part := stream.read(min(CHUNK, size - len(content)))):
                content += part
            if len(content) < size:
                raise CorruptFile(
                    f"{path}: cut off, its voxels aren't all there ({len(content)} of {size} bytes); copy it again"
                )
            _read_to_end(path, stream)
            return content
    except PermissionError:
        raise no_permission(str(path)) from None
    except (OSError, EOFError, zlib.error) as error:
        raise CorruptFile(f"{path}: cut off or damaged ({error}); copy it again") from None


def _promised_bytes(path: Path, start: bytes) -> int:
    """How long the header says that the file is. Raises CorruptFile, UnsupportedStudy."""
    try:
        header = _header(start)
        size = (
            int(header.get_data_offset())
            + math.prod(header.get_data_shape()) * header.get_data_dtype().itemsize
        )
    except Exception as error:  # a parser on damaged bytes may raise anything
        raise CorruptFile(f"{path}: not NIfTI ({brief(error)}); copy it again") from None
    if size > MAX_BYTES:
        raise UnsupportedStudy(
            f"{path}: its header promises {header.get_data_shape()} voxels, {size / 2**30:.1f} GiB; at most "
            f"{MAX_BYTES / 2**30:.0f} GiB are read"
        )
    if size < len(start) and math.prod(header.get_data_shape()) < 1:
        raise UnsupportedStudy(f"{path}: shape {header.get_data_shape()}, expected three axes")
    return size


def _read_to_end(path: Path, stream: BinaryIO | gzip.GzipFile) -> None:
    """What follows the voxels: little or nothing, and for gzip the check sum."""
    rest = 0
    while part := stream.read(CHUNK):
        rest += len(part)
        if rest > MOST_AFTER_VOXELS:
            raise CorruptFile(
                f"{path}: goes on for more than {MOST_AFTER_VOXELS >> 20} MiB after its voxels; refused"
            )


def _kind(content: bytes) -> type[nib.Nifti1Image]:
    wide = content[:4] in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c")  # 540, the length of a NIfTI-2 header
    return nib.Nifti2Image if wide else nib.Nifti1Image


def _header(start: bytes) -> nib.Nifti1Header:
    """Without its extensions, which may be long."""
    kind = _kind(start).header_class
    return kind(start[: kind.template_dtype.itemsize])


def _image(path: Path, content: bytearray) -> nib.Nifti1Image:
    """Header and extensions alone; the voxels are still those of `content`."""
    try:
        start = bytes(content[:HEADER_BYTES])
        begin = int(_header(start).get_data_offset())
        return _kind(start).from_bytes(bytes(content[: max(begin, HEADER_BYTES)]))
    except Exception as error:  # a parser on damaged bytes may raise anything
        raise CorruptFile(f"{path}: not NIfTI ({brief(error)}); copy it again") from None


def _affine(path: Path, image: nib.Nifti1Image) -> tuple[np.ndarray, tuple[str, ...]]:
    header = image.header
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            sform, qform = image.get_sform(coded=True)[0], image.get_qform(coded=True)[0]
        except Exception as error:  # a quaternion that is none, codes that don't exist
            raise CorruptFile(
                f"{path}: sform or qform is damaged ({brief(error)}); write the file again"
            ) from None
    affine = qform if sform is None else sform
    if affine is None:
        raise UnsupportedStudy(
            f"{path}: neither sform nor qform, so its place is unknown; write one (code 1)"
        )
    try:
        unit = header.get_xyzt_units()[0]
    except KeyError:
        unit = "unknown"
    factor = {"meter": 1000.0, "micron": 0.001}.get(unit, 1.0)
    in_file = affine
    affine = np.diag([factor, factor, factor, 1.0]) @ affine if np.isfinite(affine).all() else affine
    if factor != 1.0 and usable(in_file) and not (usable(affine) and _of_a_body(image.shape[:3], affine)):
        sizes = np.linalg.norm(in_file[:3, :3], axis=0)
        written, meant = (" x ".join(f"{size:.4g}" for size in each) for each in (sizes, factor * sizes))
        raise UnsupportedStudy(
            f"{path}: xyzt_units says `{unit}`, so its voxels of {written} would be {meant} mm; that looks like a "
            "mistake: if they are mm, set xyzt_units to 2 (nibabel: image.header.set_xyzt_units('mm'))"
        )
    if not usable(affine):
        raise UnsupportedStudy(
            f"{path}: affine isn't usable: {affine.tolist()}; write the voxels' place in mm"
        )
    if sform is not None and qform is not None and usable(qform) and len(image.shape) >= 3:
        x, y, z = image.shape[:3]
        apart = np.abs(Grid((x, y, z), sform).corners() - Grid((x, y, z), qform).corners()).max()
        if apart > 1.0:
            return affine, (f"sform and qform lie {apart:.1f} mm apart; the sform is used",)
    return affine, ()


def _of_a_body(shape: tuple[int, ...], affine: np.ndarray) -> bool:
    """Longest side between 10 mm and 3 m."""
    sides = np.linalg.norm(affine[:3, :3], axis=0)[: len(shape)] * shape
    return bool(10 <= sides.max() <= 3000)


def usable(affine: np.ndarray) -> bool:
    """Voxels of 0.01 to 20 mm within 100 m, along axes that span space."""
    if not np.isfinite(affine).all() or np.abs(affine).max() > 1e5:
        return False
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    return bool(
        (sizes >= 0.01).all() and (sizes <= 20).all() and abs(np.linalg.det(affine[:3, :3] / sizes)) > 0.1
    )
