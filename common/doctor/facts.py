"""The facts of one study: its place, values and header, without any field about a patient."""

from pathlib import Path
from typing import Any

import numpy as np

from common.doctor.noise import noise_hu
from common.image_names import is_image_file
from common.reading.choice import BONE
from common.reading.parse import opened, parse
from common.reading.plausibility.histogram import Spread
from common.reading.plausibility.judge import METAL_HU, sampled
from common.reading.study import Study, open_stack
from common.resample import canonical


def facts(study: Study) -> dict[str, Any]:
    """Of a study in HU: `uid` (StudyInstanceUID or None), `voxels` (right-left, front-back, up-down), `voxel_across_mm`
    (the larger side in the axial plane), `voxel_up_mm`, `field_of_view_mm` (the larger side in that plane),
    `height_mm`, `lowest_hu`, `highest_hu`, `soft_tissue_hu`, `noise_hu` (None: can't be told), `metal_ml`."""
    scan = canonical(study.volume)
    hu = scan.array
    size = np.array(hu.shape) * scan.spacing
    tissue = Spread.of(sampled(hu)).soft_tissue
    noise = noise_hu(scan)
    cell_ml = abs(float(np.linalg.det(scan.affine[:3, :3]))) / 1000
    return {
        "uid": study.uid,
        "voxels": list(hu.shape),
        "voxel_across_mm": round(float(scan.spacing[:2].max()), 3),
        "voxel_up_mm": round(float(scan.spacing[2]), 3),
        "field_of_view_mm": round(float(size[:2].max()), 1),
        "height_mm": round(float(size[2]), 1),
        "lowest_hu": round(float(hu.min())),
        "highest_hu": round(float(hu.max())),
        "soft_tissue_hu": None if tissue is None else round(tissue),
        "noise_hu": None if noise is None else round(noise, 1),
        "metal_ml": round(int((hu > METAL_HU).sum()) * cell_ml, 2),
    }


def header_facts(path: Path, series_uid: str | None = None) -> dict[str, Any]:
    """Of the series that is read: `kind`, and of DICOM `slices`, `kernel` ("" where the header is silent),
    `bone_kernel`, `slice_thickness_mm` (None: not said) and `slice_step_mm`. Raises what `read_study` does."""
    if is_image_file(path):
        return {"kind": "image file"}
    with open_stack(path, series_uid) as stack:
        first = stack.slices[0]
        with opened(first.source) as stream:
            tags = ["SliceThickness", "SharedFunctionalGroupsSequence"]
            header = parse(first.source, stream, tags, force=True, stop_before_pixels=True)
        return {
            "kind": "DICOM",
            "slices": len(stack.slices),
            "kernel": first.kernel,
            "bone_kernel": bool(BONE.search(first.kernel)),
            "slice_thickness_mm": _thickness(header),
            "slice_step_mm": round(float(stack.grid.spacing[2]), 3),
        }


def _thickness(header: Any) -> float | None:
    """SliceThickness of a slice, or of all frames of an Enhanced CT."""
    try:
        groups = header.get("SharedFunctionalGroupsSequence")
        place = groups[0].PixelMeasuresSequence[0] if groups else header
        return round(float(place.SliceThickness), 3)
    except (AttributeError, IndexError, TypeError, ValueError):
        return None
