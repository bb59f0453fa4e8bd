"""Training samples of stage 1 as a plain PyTorch dataset makes them: read the NIfTI, draw a place, cut, turn, vary."""

from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation
from torch.utils.data import Dataset

SPACING_MM = 1.5


class PlainSamples(Dataset):
    """`ct`, `mask`: NIfTI files of one study, both read anew for every item; `size`: voxels of a patch, x, y, z."""

    def __init__(self, ct: Path, mask: Path, size: tuple[int, int, int]) -> None:
        self.ct, self.mask, self.size = ct, mask, size

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng(number)
        image = nib.load(self.ct)
        hu = np.asarray(image.dataobj).astype(np.float32)
        labels = np.asarray(nib.load(self.mask).dataobj)
        spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
        bone = np.argwhere(labels > 0)
        middle = bone[rng.integers(len(bone))]
        turn = Rotation.from_euler("xyz", rng.uniform(-15, 15, 3), degrees=True).as_matrix()
        matrix = np.diag(1 / spacing) @ turn * SPACING_MM * rng.uniform(0.85, 1.15)
        offset = middle - matrix @ ((np.array(self.size) - 1) / 2)
        picture = ndimage.affine_transform(hu, matrix, offset, self.size, order=1, mode="nearest")
        truth = ndimage.affine_transform(np.minimum(labels, 8), matrix, offset, self.size, order=0, mode="constant")
        picture = np.clip((picture + 200) / 1200, 0, 1) * rng.uniform(0.8, 1.2) + rng.normal(0, 0.03, self.size)
        both = np.stack([picture, np.zeros(self.size)]).astype(np.float32)
        return {"image": torch.from_numpy(both), "mask": torch.from_numpy(truth.astype(np.int64))[None]}
