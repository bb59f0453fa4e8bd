"""The truth of one study as the competition's segmentation file."""

from pathlib import Path

import nibabel as nib
import numpy as np

from common.phantom.files.orientation import oriented
from common.volume import Volume


def write_segmentation(path: Path, labels: Volume, directions: str) -> None:
    """Writes `labels` (uint8, 1..7 = C1..C7, 8.. = T1..) as uncompressed NIfTI, axes running towards `directions`
    ("LPS" as the slices, others sagittal); the affine (RAS mm) in sform and qform."""
    turned = oriented(labels, directions)
    image = nib.Nifti1Image(np.ascontiguousarray(turned.array), turned.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(turned.affine, code=1)
    image.set_qform(turned.affine, code=1)
    nib.save(image, path)
