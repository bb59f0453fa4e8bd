"""The synthetic studies that comparisons work on, made where they aren't there yet; SMALL=1 makes all of them small."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common.outputs.store import atomic

if TYPE_CHECKING:
    from common.phantom.file_style import FileStyle
    from common.volume import Volume

SMALL = bool(os.environ.get("SMALL"))
"""Little of everything, to see that each comparison runs; its ratios mean nothing."""
SIDE = 128 if SMALL else 512
SEED, NUMBER = 2023, 9
"""Of the study in a cohort's plan: 204 slices of 0.41 x 0.41 x 1 mm, 21 cm wide, from the skull's base to the chest."""
COMPRESSED = 12 if SMALL else 204
"""Slices of the compressed series."""
PAIR_SIDE = 96 if SMALL else 256
"""Of the studies that have a mask."""


def dicom(out: Path) -> Path:
    """A series of uncompressed slices of SIDE x SIDE: a synthetic neck as a scanner would leave it."""
    from common.phantom.files.dicom import write_series
    from common.phantom.render import render
    from common.phantom.study_plan import plan_cohort

    folder = out / "neck"
    if not folder.is_dir():
        out.mkdir(parents=True, exist_ok=True)
        plan = plan_cohort(88, 60, SEED)[NUMBER]
        ct = render(plan, SIDE).ct
        with atomic(folder) as scratch:
            write_series(scratch, ct, plan.uid, uncompressed(plan.style))
    return folder


def uncompressed(style: "FileStyle") -> "FileStyle":
    """Files of a kind that every reader takes, by the same kernel."""
    return style.__class__(
        "1.2.840.10008.1.2.1", False, 1, (0,), True, 1.0, 0.0, None, 1.0, ((40, 400),), style.kernel
    )


def compressed(out: Path, process: str) -> Path:
    """The first COMPRESSED slices of the same, by a process of DICOM's."""
    from common.reading.selftest.specimens import compress

    folder = out / process
    for path in sorted(dicom(out).iterdir(), key=lambda path: int(path.stem))[:COMPRESSED]:
        if not (folder / path.name).is_file():
            compress(path, folder / path.name, process)
    return folder


def volume(out: Path) -> "Volume":
    """The series in memory."""
    from common.reading.study import read_study

    return read_study(dicom(out)).volume


@dataclass(frozen=True)
class Pair:
    """NIfTI files of a scan and of its true mask."""

    ct: Path
    mask: Path

    def volumes(self) -> tuple["Volume", "Volume"]:
        """Both in memory."""
        from common.reading.nifti import read_nifti

        return read_nifti(self.ct), read_nifti(self.mask)


def pair(out: Path) -> Pair:
    """A study of a default cohort, PAIR_SIDE x PAIR_SIDE, and its mask."""
    from common.phantom.render import render
    from common.phantom.study_plan import plan_cohort

    made = Pair(out / "pair_ct.nii", out / "pair_mask.nii")
    if not made.mask.is_file():
        study = render(plan_cohort(1, 0, 7)[0], PAIR_SIDE)
        _write(made, study.ct, study.labels.with_array(np.minimum(study.labels.array, 8)))
    return made


def larger_pair(out: Path) -> Pair:
    """The same with four voxels for each, as many to a slice as in real scans."""
    from common.volume import Volume

    made = Pair(out / "larger_ct.nii", out / "larger_mask.nii")
    if not made.mask.is_file():
        halved = np.diag([0.5, 0.5, 1, 1])
        halved[:2, 3] = -0.25  # of a voxel: from its middle to that of its first quarter
        _write(
            made,
            *(Volume(one.array.repeat(2, 0).repeat(2, 1), one.affine @ halved) for one in pair(out).volumes()),
        )
    return made


def _write(made: Pair, ct: "Volume", mask: "Volume") -> None:
    from common.reading.nifti import write_nifti

    made.ct.parent.mkdir(parents=True, exist_ok=True)
    write_nifti(ct, made.ct)
    write_nifti(mask, made.mask)
