"""Training samples of stage 2 as a plain PyTorch dataset makes them: read the NIfTI, cut the vertebrae; then varied as
ours are."""

from dataclasses import replace
from typing import Any

import nibabel as nib
import numpy as np
import torch
from scipy import ndimage

from stage2_classify.crops.cut import bone_window, crop_shape
from stage2_classify.settings import ClassifySettings, CropSettings
from stage2_classify.training.encoder_patches import EncoderPatches
from stage2_classify.training.samples import Example, Samples
from tests.bench.studies import Pair


class PlainStudies:
    """Both files of a study read anew for every sample, and its vertebrae cut. `known`: its crops, for all that isn't
    a picture."""

    def __init__(self, study: Pair, known: Example, settings: ClassifySettings) -> None:
        self.study, self.known, self.settings = study, known, settings

    def sample(self, draw: int) -> dict[str, torch.Tensor]:
        """As `ClassifyTask.sample`."""
        images = cut_vertebrae(self.study, np.flatnonzero(self.known.crops.present), self.settings.crops)
        example = replace(self.known, crops=replace(self.known.crops, images=images))
        of = self.settings
        return Samples([example], of.augment, of.crops, of.train.seed, of.bend).sample(draw)


class PlainVertebrae:
    """The same, but only the vertebra that a sample needs is cut."""

    def __init__(self, study: Pair, known: Example, settings: ClassifySettings) -> None:
        pictures: Any = self  # what is asked for a level's images
        example = replace(known, crops=replace(known.crops, images=pictures))
        self.study, self.crops, self.patches = study, settings.crops, EncoderPatches([example], settings)

    def __getitem__(self, row: int) -> np.ndarray:
        return cut_vertebrae(self.study, np.array([row]), self.crops)[row]

    def sample(self, draw: int) -> dict[str, torch.Tensor]:
        """As `EncoderTask.sample`."""
        return self.patches.sample(draw)


def cut_vertebrae(study: Pair, rows: np.ndarray, crops: CropSettings) -> np.ndarray:
    """The levels `rows`, 0 for C1, of the study's files: (7, 2, X, Y, Z) uint8, along the scan's own axes."""
    image = nib.load(study.ct)
    hu = np.asarray(image.dataobj).astype(np.float32)
    labels = np.asarray(nib.load(study.mask).dataobj)
    boxes = ndimage.find_objects(labels)
    size = np.array(crop_shape(crops))
    steps = crops.spacing_mm / np.linalg.norm(image.affine[:3, :3], axis=0)
    images = np.zeros((7, 2, *size), np.uint8)
    for row in rows:
        start = [(box.start + box.stop - 1) / 2 for box in boxes[row]] - steps * (size - 1) / 2
        picture = ndimage.affine_transform(hu, steps, start, tuple(size), order=1, cval=crops.window_hu[0])
        number = ndimage.affine_transform(labels, steps, start, tuple(size), order=0)
        images[row] = bone_window(picture, crops.window_hu), (number == row + 1) * np.uint8(255)
    return images
