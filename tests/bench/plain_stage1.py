"""Training samples of stage 1 as a plain PyTorch dataset makes them: read the NIfTI, draw a place, cut, turn; then
varied as ours are."""

import nibabel as nib
import numpy as np
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation

from stage1_segment.settings import SegmentSettings
from stage1_segment.training.augment import distort, simulated_previous_pass, vary_intensity
from tests.bench.studies import Pair


class PlainPatches:
    """Both files of a study read anew for every sample."""

    def __init__(self, study: Pair, settings: SegmentSettings) -> None:
        self.study, self.settings = study, settings

    def sample(self, draw: int) -> dict[str, torch.Tensor]:
        """As `SegmentTask.sample`."""
        patch, augment = self.settings.patch, self.settings.augment
        rng = np.random.default_rng(draw)
        coarse = rng.random() < patch.coarse_share
        size = patch.window(coarse)
        image = nib.load(self.study.ct)
        hu = np.asarray(image.dataobj).astype(np.float32)
        labels = np.asarray(nib.load(self.study.mask).dataobj)
        middle = (np.array(hu.shape) - 1) / 2
        if not coarse:
            bone = np.argwhere(labels > 0)
            middle = bone[rng.integers(len(bone))]
        turn = Rotation.from_euler("xyz", rng.uniform(-1, 1, 3) * augment.rotate_deg, degrees=True).as_matrix()
        spacing_mm = patch.coarse_mm if coarse else patch.fine_mm
        scale = spacing_mm * (1 + rng.uniform(-augment.scale, augment.scale))
        matrix = np.diag(scale / np.linalg.norm(image.affine[:3, :3], axis=0)) @ turn
        offset = middle - matrix @ ((np.array(size) - 1) / 2)
        picture = ndimage.affine_transform(hu, matrix, offset, size, order=1, cval=patch.low_hu)
        truth = ndimage.affine_transform(labels, matrix, offset, size, order=0, mode="constant")
        picture = np.clip((picture - patch.low_hu) / (patch.high_hu - patch.low_hu), 0, 1)
        picture, truth = distort(picture, truth, augment, rng)
        picture, previous = vary_intensity(picture, augment, rng), np.zeros(size, np.float32)
        if not coarse:
            previous = simulated_previous_pass(truth, patch.coarse_mm / patch.fine_mm, augment, rng)
        both = np.stack([picture, previous])
        return {"image": torch.from_numpy(both), "mask": torch.from_numpy(truth.astype(np.int64))[None]}
