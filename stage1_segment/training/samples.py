"""The segmented studies at the fine spacing, kept for training: small enough to stay in memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.dataset.cache import CtCache
from common.masks.segmentation import segmentation_on
from common.outputs import store
from common.outputs.notices import tell
from common.outputs.study_lock import only_one_makes
from common.resample import AIR_HU, canonical, resample
from common.volume import Volume
from stage1_segment.network_input import covering_grid
from stage1_segment.schema import SAMPLE


@dataclass(frozen=True, eq=False)
class Sample:
    """A segmented study, canonical axes: `ct` int16 HU (X, Y, Z), `mask` uint8 of `labels.CLASS_NAMES`,
    `affine` (4, 4) voxel -> RAS mm."""

    ct: np.ndarray
    mask: np.ndarray
    affine: np.ndarray

    @property
    def spacing(self) -> np.ndarray:
        """(3,) mm."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)


def make_sample(ct: Volume, mask: Volume, spacing_mm: float) -> Sample:
    """A study on a grid of about `spacing_mm`; the mask must lie on the CT's grid."""
    ct, mask = canonical(ct), canonical(mask)
    grid = covering_grid(ct.grid, spacing_mm)
    small = resample(ct, grid, order=1, fill=AIR_HU).array
    labels = resample(mask, grid, order=0, fill=0).array
    return Sample(np.clip(small, -2048, 32767).astype(np.int16), labels.astype(np.uint8), grid.affine)


def save_sample(path: Path, sample: Sample) -> None:
    """Writes a sample as .npz, atomically."""
    with store.atomic(path) as scratch:
        np.savez(scratch, ct=sample.ct, mask=sample.mask, affine=sample.affine)


def load_sample(path: Path) -> Sample:
    with np.load(path, allow_pickle=False) as content:
        return Sample(content["ct"], content["mask"], content["affine"])


def write_sample(
    cache: CtCache, uid: str, segmentation: Path, path: Path, provenance: dict[str, Any], spacing_mm: float
) -> None:
    """Makes a study's sample from its cached CT and its mask file (scheme rsna), and tells its notices, unless another
    process has just made it. Raises StudyError, OutputError, StudyBusy."""
    with only_one_makes(path):
        if store.is_current(path, provenance, SAMPLE):
            return
        ct = cache.volume(uid)
        tell(uid, ct.notices)
        save_sample(path, make_sample(ct, segmentation_on(ct, segmentation, "rsna"), spacing_mm))
        store.write_record(path, provenance, SAMPLE)
