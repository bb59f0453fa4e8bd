"""NIfTI, read strictly and written whole."""

import gzip
import warnings
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np

from common.errors import CorruptFile, NothingFound, UnsupportedStudy
from common.store import atomic
from common.volume import Grid, Volume

SUFFIXES = (".nii", ".nii.gz")


def is_nifti(path: Path) -> bool:
    """True when the name ends in .nii or .nii.gz."""
    return Path(path).name.lower().endswith(SUFFIXES)


def read_nifti(path: Path) -> Volume:
    """A 3D NIfTI file: array (X, Y, Z) in the file's own type, float32 where the header scales its values;
    affine voxel -> RAS mm (sform, else qform).

    The whole file is read and checked, so a truncated or damaged one is refused. Raises NothingFound,
    CorruptFile, UnsupportedStudy (4D, colour, NaN, no affine).
    """
    path = Path(path)
    image = _image(path, _bytes(path))
    affine, notices = _affine(path, image)
    if image.get_data_dtype().kind not in "iufb":
        raise UnsupportedStudy(f"{path}: voxels are {image.get_data_dtype()}, expected plain numbers")
    shape = image.shape
    if len(shape) < 3 or int(np.prod(shape[3:])) != 1 or min(shape) < 1:
        raise UnsupportedStudy(f"{path}: shape {shape}, expected three axes; split off one frame")
    try:
        array = np.asarray(image.dataobj)
    except (OSError, ValueError, EOFError) as error:
        raise CorruptFile(f"{path}: cut off, its voxels aren't all there ({error}); copy it again") from None
    array = array.reshape(shape[:3])
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise UnsupportedStudy(f"{path}: holds NaN or infinity; replace them by air (-1024) first")
        array = array.astype(np.float32)
    return Volume(array.astype(array.dtype.newbyteorder("="), copy=False), affine, notices)


def read_nifti_grid(path: Path) -> Grid:
    """The grid of a NIfTI file, from its header alone. Raises as `read_nifti`, but for voxels."""
    path = Path(path)
    if not path.exists():
        raise NothingFound(f"{path}: no such file")
    try:
        image = nib.load(path)
    except Exception as error:  # a parser on damaged bytes may raise anything
        raise CorruptFile(f"{path}: not NIfTI ({error})") from None
    affine, _ = _affine(path, image)
    if len(image.shape) < 3 or int(np.prod(image.shape[3:])) != 1 or min(image.shape) < 1:
        raise UnsupportedStudy(f"{path}: shape {image.shape}, expected three axes")
    return Grid(image.shape[:3], affine)


def write_nifti(volume: Volume, path: Path) -> None:
    """Writes `volume` atomically; sform and qform both have code 1 (scanner), but a qform can't hold the shear of a
    tilted series and has code 0 then. bool becomes uint8."""
    array = volume.array
    if array.dtype == bool:
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
    with atomic(path) as scratch:
        nib.save(image, scratch)


def _bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except FileNotFoundError:
        raise NothingFound(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise CorruptFile(f"{path}: cut off or damaged ({error}); copy it again") from None


def _image(path: Path, content: bytes) -> nib.Nifti1Image:
    size = content[:4]
    wide = size in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c")  # 540, the length of a NIfTI-2 header
    try:
        return (nib.Nifti2Image if wide else nib.Nifti1Image).from_bytes(content)
    except Exception as error:  # a parser on damaged bytes may raise anything
        raise CorruptFile(f"{path}: not NIfTI ({error})") from None


def _affine(path: Path, image: nib.Nifti1Image) -> tuple[np.ndarray, tuple[str, ...]]:
    header = image.header
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sform, qform = image.get_sform(coded=True)[0], image.get_qform(coded=True)[0]
    affine = qform if sform is None else sform
    if affine is None:
        raise UnsupportedStudy(f"{path}: neither sform nor qform, so its place is unknown; write one (code 1)")
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise UnsupportedStudy(f"{path}: affine isn't usable: {affine.tolist()}")
    factor = {"meter": 1000.0, "micron": 0.001}.get(header.get_xyzt_units()[0], 1.0)
    affine = np.diag([factor, factor, factor, 1.0]) @ affine
    if sform is not None and qform is not None and len(image.shape) >= 3:
        shape = image.shape[:3]
        apart = np.abs(Grid(shape, sform).corners() - Grid(shape, qform).corners()).max()
        if apart > 1.0:
            return affine, (f"sform and qform lie {apart:.1f} mm apart; the sform is used",)
    return affine, ()
