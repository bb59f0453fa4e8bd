"""Faults of one study's files: its slices, its mask, its boxes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.dataset.boxes import slice_numbers
from common.dataset.faults import Fault
from common.errors import StudyError
from common.masks.files import read_mask_files
from common.masks.segmentation import apart_mm, check_mask
from common.reading.study import Layout, read_layout, read_study
from common.volume import Grid


@dataclass(frozen=True)
class Job:
    """What is to be looked at: `images` None when the study has no folder; `deep` decodes the pixels, too."""

    uid: str
    images: Path | None
    mask: Path | None
    boxes: pd.DataFrame
    deep: bool


def check_study(job: Job) -> list[Fault]:
    """Every fault of a study's files."""
    faults: list[Fault] = []
    layout = _check_images(job, job.images, faults) if job.images else None
    if job.mask is not None:
        _check_mask(job.uid, job.mask, layout, faults)
    if layout is not None and len(job.boxes):
        _check_boxes(job.uid, job.boxes, layout, faults)
    return faults


def _check_images(job: Job, images: Path, faults: list[Fault]) -> Layout | None:
    try:
        layout = read_layout(images)
        if job.deep:
            read_study(images)
    except StudyError as error:
        faults.append(Fault("scan", job.uid, f"{type(error).__name__}: {error}"))
        return None
    faults += [Fault("scan", job.uid, f"repaired when it is read: {text}") for text in layout.repairs]
    if layout.uid and layout.uid != job.uid:
        faults.append(Fault("scan", job.uid, f"its files say StudyInstanceUID {layout.uid}"))
    return layout


def _check_mask(uid: str, path: Path, layout: Layout | None, faults: list[Fault]) -> None:
    try:
        mask = read_mask_files(path)
    except StudyError as error:
        faults.append(Fault("mask", uid, f"{type(error).__name__}: {error}"))
        return
    if layout is not None:
        _check_place(uid, mask.grid, layout, faults)
    try:
        check_mask(mask, "rsna", path)
    except StudyError as error:
        faults.append(Fault("mask label", uid, str(error)))


def _check_place(uid: str, mask: Grid, layout: Layout, faults: list[Fault]) -> None:
    """The mask must reach as far as the scan on every side, within one and a half of the larger voxel. Masks of a
    tilted scan lie on its upright grid or, sheared, on its files' pixels."""
    scan = min((layout.grid, layout.file_grid), key=lambda grid: apart_mm(mask, grid))
    apart = apart_mm(mask, scan)
    allowed = 1.5 * max(np.max(mask.spacing), np.max(scan.spacing))
    if apart > allowed:
        faults.append(
            Fault(
                "mask place",
                uid,
                f"its corners lie {apart:.1f} mm from the scan's, at most {allowed:.1f} expected; "
                f"grid {mask.shape}, scan {scan.shape}",
            )
        )


def _check_boxes(uid: str, boxes: pd.DataFrame, layout: Layout, faults: list[Fault]) -> None:
    numbers = slice_numbers(layout.slices)
    columns, rows = layout.file_grid.shape[:2]
    for box in boxes.itertuples(index=False):
        text = f"slice {box.slice_number:g}: x {box.x:g}, y {box.y:g}, width {box.width:g}, height {box.height:g}"
        if int(box.slice_number) not in numbers:
            faults.append(Fault("box slice", uid, f"{text}; there is no such file among {len(layout.slices)}"))
        elif min(box.x, box.y) < -1 or box.x + box.width > columns + 1 or box.y + box.height > rows + 1:
            faults.append(Fault("box outside", uid, f"{text}; the image has {columns} x {rows} pixels"))
