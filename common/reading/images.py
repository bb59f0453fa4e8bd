"""Files that hold one volume with its place: NIfTI, NRRD, MetaImage. Read and written by the name's ending."""

from pathlib import Path

from common.image_names import is_image_file
from common.reading import itk, nifti
from common.volume import Volume

NAMES = "NIfTI (.nii, .nii.gz), NRRD (.nrrd) or MetaImage (.mha, .mhd)"
WRITTEN = ".nii, .nii.gz, .nrrd or .mha"


def can_be_written(path: Path) -> bool:
    """True for such names but .mhd, which would be two files that can part."""
    return is_image_file(path) and not Path(path).name.lower().endswith(".mhd")


def read_image(path: Path) -> Volume:
    """Array (X, Y, Z) in the file's own type, float32 for fractions or scaled values; affine voxel -> RAS mm. The whole
    file is read and checked. Raises NothingFound, CorruptFile, UnsupportedStudy, StudyError."""
    return itk.read_itk(path) if itk.is_itk(path) else nifti.read_nifti(path)


def write_image(volume: Volume, path: Path) -> None:
    """Writes `volume` atomically in the format that the name ends in. Raises ConfigError, OutputError."""
    if itk.is_itk(path):
        itk.write_itk(volume, path)
    else:
        nifti.write_nifti(volume, path)


def files_of(path: Path) -> list[Path]:
    """The files that such an image is made of: itself, and a MetaImage's voxels beside it. Raises StudyError."""
    return itk.files_of(path) if path.name.lower().endswith(".mhd") else [path]
