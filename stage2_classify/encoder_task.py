"""First half of the training: the encoder alone, on single vertebrae, fractured and healthy ones equally often.

One vertebra in ten is fractured; drawn in equal parts, the encoder sees several times as many fractures in the same
time, and its evidence becomes the likelihood ratio that the head then adds to the level's prior.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stage2_classify import augment
from stage2_classify.crops import FAR_MM, coarse_shape
from stage2_classify.drawn import draw_fracture
from stage2_classify.loss import local_loss
from stage2_classify.networks import build_encoder
from stage2_classify.samples import Example
from stage2_classify.settings import ClassifySettings


class EncoderTask:
    """See `common.training.Task`."""

    def __init__(self, examples: list[Example], settings: ClassifySettings) -> None:
        self.examples, self.settings = examples, settings
        self.network = build_encoder(settings.network, settings.train.seed)
        present = np.stack([example.crops.present for example in examples])
        fractured = np.stack([example.labels[:7] > 0.5 for example in examples])
        self.healthy = np.argwhere(present & ~fractured)
        self.fractured = np.argwhere(present & fractured)

    def sample(self, draw: int) -> dict[str, Tensor]:
        """One vertebra, varied: `images` (2, X, Y, Z), `mask_seen` (), `label` (), `distance` (X', Y', Z') mm,
        `boxed` () bool: the distance is known."""
        rng = np.random.default_rng([self.settings.train.seed, 3, draw])
        images, label, distance = self._pick(rng)
        images = torch.from_numpy(images).float().unsqueeze(0) / 255
        known = distance is not None
        distance = None if distance is None else torch.from_numpy(distance).float().unsqueeze(0)
        images, distance = augment.warp(images, distance, rng, self.settings.augment, self.settings.crops)
        images[:, 0] = augment.vary_intensity(images[:, 0], rng, self.settings.augment)
        if distance is None:
            distance = torch.full((1, *coarse_shape(images.shape[2:])), float(FAR_MM))
        return {
            "images": images[0],
            "mask_seen": torch.tensor(float(rng.random() >= self.settings.augment.mask_dropout)),
            "label": torch.tensor(float(label)),
            "distance": distance[0],
            "boxed": torch.tensor(known),
        }

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Cross-entropy of the evidence, plus `loss.dense` times the loss on the local logits."""
        answer = network(batch)
        vertebra = F.binary_cross_entropy_with_logits(answer["evidence"], batch["label"])
        local = local_loss(answer, batch["label"] > 0.5, batch["boxed"], self.settings.loss)
        return {"loss": vertebra + self.settings.loss.dense * local, "vertebra": vertebra, "local": local}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Nothing: the whole network is judged."""
        return {}

    def _pick(self, rng: np.random.Generator) -> tuple[np.ndarray, bool, np.ndarray | None]:
        """Half of the picks are fractured: real ones, and healthy ones with a drawn fracture."""
        chance, drawn_part = rng.random(), self.settings.augment.drawn
        fractured = chance < 0.5 and (len(self.fractured) > 0 or drawn_part > 0)
        drawn = fractured and (chance < 0.5 * drawn_part or len(self.fractured) == 0)
        pool = self.fractured if (fractured and not drawn) or len(self.healthy) == 0 else self.healthy
        study, level = pool[rng.integers(len(pool))]
        crops = self.examples[study].crops
        if drawn and (made := draw_fracture(crops.images[level], self.settings.crops.spacing_mm, rng)) is not None:
            return made[0], True, made[1]
        label = bool(self.examples[study].labels[level] > 0.5)
        return crops.images[level], label, None if crops.distance is None else crops.distance[level]
