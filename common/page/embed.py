"""Volumes and programs as text within a page: gzip, then base64."""

import base64
import gzip

import nibabel as nib
import numpy as np

from common.volume import Volume


def packed(content: bytes) -> str:
    """Bytes -> base64 of their gzip; the same bytes give the same text. A scan takes a third of the time of level 6 and
    3 % more room."""
    return base64.b64encode(gzip.compress(content, compresslevel=2, mtime=0)).decode("ascii")


def nifti(volume: Volume, slope: float = 1.0, start: float = 0.0) -> bytes:
    """A NIfTI-1 file of uint8 voxels that stand for `slope` * voxel + `start`; it names nobody and nothing."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(volume.array.shape)
    header.set_sform(volume.affine, code="scanner")
    header.set_zooms(volume.spacing)
    header.set_xyzt_units("mm")
    header.set_slope_inter(slope, start)
    header["vox_offset"] = 352
    return bytes(header.binaryblock) + bytes(4) + volume.array.astype(np.uint8).tobytes(order="F")
