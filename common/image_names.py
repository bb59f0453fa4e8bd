"""Which files hold one volume with its place, told by their names."""

from pathlib import Path

NIFTI = (".nii.gz", ".nii")
ITK = (".nrrd", ".mha", ".mhd")
SUFFIXES = (*NIFTI, *ITK)


def is_image_file(path: Path) -> bool:
    """True when the name ends as that of a file with one volume."""
    return Path(path).name.lower().endswith(SUFFIXES)


def stem(path: Path) -> str:
    """The name without such an ending: `mask.nii.gz` -> `mask`; as it is without one."""
    name = Path(path).name
    ending = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(ending)]
