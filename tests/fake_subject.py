"""A toy of an anatomy bank's subject: nothing of it is like a human, but every tissue is where one looks for it."""

from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from common.phantom import tissues
from stage1_segment.settings import InitTrainSettings, PatchSettings, SegmentSettings, SyntheticSettings
from stage1_segment.training.synthetic.placement import Placement
from stage1_segment.training.synthetic.subject import Subject
from stage1_segment.training.synthetic.tissue_lookup import draw_rays, look_up
from stage1_segment.training.synthetic.trunk import AS_MAPPED, Trunk

VOXEL_MM = 3.0
WINDOW = (24, 24, 40)
BOTTOM = 10
"""Slice of the lowest end of T4."""


def fake_labels() -> np.ndarray:
    """(60, 60, 110) at 3 mm: a body 150 mm wide, C1..T4 as blocks of 30 x 36 x 12 mm with 6 mm of disc between,
    below a head with brain that ends before the map does."""
    labels = np.zeros((60, 60, 110), np.uint8)
    x, y = np.meshgrid(np.arange(60) - 30, np.arange(60) - 30, indexing="ij")
    labels[x**2 + y**2 < 25**2, :105] = tissues.MUSCLE
    labels[x**2 + y**2 < 20**2, 80:102] = tissues.BRAIN
    for place in range(11):  # T4 first, C1 last
        code, low = 11 - place, BOTTOM + 6 * place
        labels[25:35, 18:30, low : low + 4] = code + tissues.CORTEX
        labels[26:34, 19:29, low + 1 : low + 3] = code
        labels[25:35, 18:30, low + 4 : low + 6] = tissues.DISC
    labels[28:32, 40:44, :80] = tissues.AIR
    labels[20:40, 48:52, 78:82] = tissues.TEETH
    return labels


def fake_affine() -> np.ndarray:
    affine = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
    affine[:3, 3] = [-90, -70, -200]
    return affine


def fake_subject(name: str = "fake") -> Subject:
    return Subject(name, fake_labels(), fake_affine())


def straight(centre: np.ndarray) -> Placement:
    """A window without any rotation about a world point, in a scan that has no end."""
    return Placement(np.eye(3), centre, np.full(3, -1e3), np.full(3, 1e3), np.zeros(2), 1e3)


def looked_up(
    subject: Subject, placement: Placement, window: tuple[int, int, int], trunk: Trunk = AS_MAPPED
) -> np.ndarray:
    """Codes of a window with two cells of 3 mm along each voxel, without elastic deformation."""
    rays = draw_rays(subject, placement, window, 2 * VOXEL_MM, 0.0, np.random.default_rng(0), trunk)
    return look_up([subject], [rays], window, torch.device("cpu"))[0].numpy()


def bank_settings(batch: int = 1, **bank) -> SegmentSettings:
    """Of a training from a bank, in windows that show most of the fake."""
    return SegmentSettings(
        source="synthetic",
        patch=PatchSettings(coarse_mm=6.0, fine_mm=3.0, size=WINDOW),
        synthetic=SyntheticSettings(**bank),
        train=InitTrainSettings(batch=batch),
    )


def write_bank(folder: Path, count: int) -> Path:
    """A bank of so many equal subjects."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        nib.save(nib.Nifti1Image(fake_labels(), fake_affine()), folder / f"s{number}.nii.gz")
    return folder
