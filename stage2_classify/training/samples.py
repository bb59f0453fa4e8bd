"""Training samples: one study with its up to seven vertebrae, varied; everything held in memory as bytes."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stage2_classify.crops.cut import FAR_MM, Crops, coarse_shape
from stage2_classify.settings import AugmentSettings, CropSettings
from stage2_classify.training import augment
from stage2_classify.training.bend_slices import bend
from stage2_classify.training.simulated_label_errors import simulate_label_errors


@dataclass(frozen=True, eq=False)
class Example:
    """A study's crops and its labels (8,) 0/1 in the order of `labels.TARGETS`."""

    uid: str
    crops: Crops
    labels: np.ndarray


class Samples:
    """Sample number n of a run: epoch n // N of the N studies, in an order drawn for that epoch."""

    def __init__(
        self,
        examples: list[Example],
        augmentation: AugmentSettings,
        crops: CropSettings,
        seed: int,
        bent: float = 0.0,
    ) -> None:
        """`bent`: the chance of `bend_slices.bend`."""
        self.examples, self.augmentation, self.crop_settings, self.seed = examples, augmentation, crops, seed
        self.bent = bent
        self.any_boxes = any(example.crops.distance is not None for example in examples)

    def sample(self, draw: int) -> dict[str, Tensor]:
        """See `networks.build` for `images`, `present`, `mask_seen`, `distance`; `labels` (8,), `has_boxes` () bool,
        `fractured` (7,) bool: of the vertebra that is seen as a level, which the label may not be of."""
        epoch, place = divmod(draw, len(self.examples))
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(len(self.examples))
        example, rng = self.examples[order[place]], np.random.default_rng([self.seed, 2, draw])
        faults = np.random.default_rng([self.seed, 4, draw])
        crops, fractured = simulate_label_errors(example.crops, example.labels[:7] > 0.5, faults, self.augmentation)

        images = torch.from_numpy(crops.images).float() / 255
        distance = None if crops.distance is None else torch.from_numpy(crops.distance).float()
        images, distance = augment.warp(images, distance, rng, self.augmentation, self.crop_settings)
        if self.bent:
            own = np.random.default_rng([self.seed, 5, draw])
            images, distance = bend(images, distance, crops.present, self.bent, own)
        images[:, 0] = augment.vary_intensity(images[:, 0], rng, self.augmentation)
        sample = {
            "images": images,
            "present": torch.from_numpy(crops.present),
            "mask_seen": torch.from_numpy(rng.random(len(images)) >= self.augmentation.mask_dropout).float(),
            "labels": torch.from_numpy(example.labels).float(),
            "fractured": torch.from_numpy(fractured),
        }
        if self.any_boxes:
            sample["has_boxes"] = torch.tensor(distance is not None)
            sample["distance"] = _no_boxes(images) if distance is None else distance
        return sample


def _no_boxes(images: Tensor) -> Tensor:
    return torch.full((len(images), *coarse_shape(images.shape[2:])), float(FAR_MM))
