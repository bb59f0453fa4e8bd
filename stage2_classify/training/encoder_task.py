"""First half of the training: the encoder alone, on patches of vertebrae, fractured and healthy ones equally often.

One vertebra in ten is fractured, and a fracture is a small part of it. On patches about the places that are known, by
boxes or because a synthetic fracture was put there, the encoder sees many times as many fractures in the same time.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.training.weights import is_described, load_state, load_weights, read_tensors
from stage2_classify.crops.cut import COARSE, FAR_MM, coarse_shape
from stage2_classify.networks import build_encoder
from stage2_classify.pretrained import from_imagenet, from_segmenter
from stage2_classify.pretrained.encoder import init_path
from stage2_classify.settings import ClassifySettings
from stage2_classify.training import augment
from stage2_classify.training.bend_slices import bend
from stage2_classify.training.loss import smoothed, voxel_loss
from stage2_classify.training.samples import Example
from stage2_classify.training.synthetic_fractures import add_synthetic_fracture


class EncoderTask:
    """See `common.training.Task`. Starts from the weights that `init_path` names."""

    def __init__(self, examples: list[Example], settings: ClassifySettings) -> None:
        self.examples, self.settings = examples, settings
        self.network = build_encoder(settings.network, settings.encoder.seed)
        start = init_path(settings)
        if start is not None:
            self._begin(start)
        present = np.stack([example.crops.present for example in examples])
        fractured = np.stack([example.labels[:7] > 0.5 for example in examples])
        self.healthy = np.argwhere(present & ~fractured)
        has_boxes = np.array([example.crops.distance is not None for example in examples])
        self.located = np.argwhere(present & fractured & has_boxes[:, None])

    def _begin(self, start: Path) -> None:
        if not is_described(start):
            encoder = self.settings.network.encoder
            from_imagenet.begin_from_imagenet(self.network, encoder, read_tensors(start), start)
            return
        state, description = load_weights(start)
        if description["kind"] == from_segmenter.KIND:
            from_segmenter.begin_from_segmenter(self.network, state, start)
        else:
            load_state(self.network, state, start)

    def sample(self, draw: int) -> dict[str, Tensor]:
        """One patch, varied: `images` (2, P, P, P), `mask_seen` (), `label` (): a fracture is in it, `distance`
        (P', P', P') mm to the fracture, `has_boxes` () bool: the distance is known."""
        rng = np.random.default_rng([self.settings.encoder.seed, 3, draw])
        images, distance = self._pick(rng)
        known = distance is not None
        if distance is None:
            distance = np.full(coarse_shape(images.shape[1:]), FAR_MM, np.uint8)
        images, distance = self._patch(images, distance, known, rng)
        patch = torch.from_numpy(images).float().unsqueeze(0) / 255
        to_box = torch.from_numpy(distance).float().unsqueeze(0)
        patch, to_box = augment.warp(patch, to_box, rng, self.settings.augment, self.settings.crops)
        if self.settings.bend:
            own = np.random.default_rng([self.settings.encoder.seed, 6, draw])
            patch, to_box = bend(patch, to_box, np.ones(1, bool), self.settings.bend, own)
        patch[:, 0] = augment.vary_intensity(patch[:, 0], rng, self.settings.augment)
        return {
            "images": patch[0],
            "mask_seen": torch.tensor(float(rng.random() >= self.settings.augment.mask_dropout)),
            "label": torch.tensor(float(known and bool((to_box <= self.settings.loss.inside_mm).any()))),
            "distance": to_box[0],
            "has_boxes": torch.tensor(known),
        }

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Cross-entropy of the evidence, plus `loss.voxel_weight` times the loss on the voxel logits."""
        outputs = network(batch)
        wanted = smoothed(batch["label"], self.settings.loss)
        vertebra = F.binary_cross_entropy_with_logits(outputs["evidence"], wanted)
        voxel = voxel_loss(outputs, batch["label"] > 0.5, batch["has_boxes"], self.settings.loss)
        return {"loss": vertebra + self.settings.loss.voxel_weight * voxel, "vertebra": vertebra, "voxel": voxel}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Nothing: the whole network is judged."""
        return {}

    def _pick(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
        """A vertebra's images, and the distance to its fracture; half of the picks are fractured."""
        if rng.random() < 0.5:
            if len(self.located) and rng.random() >= self.settings.augment.synthetic_fractures:
                study, level = self.located[rng.integers(len(self.located))]
                crops = self.examples[study].crops
                return crops.images[level], crops.distance[level]
            images = self._healthy(rng)
            drawn = add_synthetic_fracture(images, self.settings.crops.spacing_mm, rng)
            if drawn is not None:
                return drawn
        return self._healthy(rng), None

    def _healthy(self, rng: np.random.Generator) -> np.ndarray:
        study, level = self.healthy[rng.integers(len(self.healthy))]
        return self.examples[study].crops.images[level]

    def _patch(
        self, images: np.ndarray, distance: np.ndarray, known: bool, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Cuts a patch about a place in the bone: where the fracture is, if that is known, else anywhere."""
        coarse = images[1, COARSE // 2 :: COARSE, COARSE // 2 :: COARSE, COARSE // 2 :: COARSE] > 100
        wanted = coarse & (distance[tuple(map(slice, coarse.shape))] <= self.settings.loss.inside_mm)
        places = np.argwhere(wanted if known and wanted.any() else coarse)
        size = min(self.settings.encoder_patch, *images.shape[1:]) // COARSE
        highest = np.array(images.shape[1:]) // COARSE - size
        place = places[rng.integers(len(places))] if len(places) else highest // 2
        start = np.clip(place - size // 2 + rng.integers(-1, 2, 3), 0, highest)
        fine = tuple(slice(a * COARSE, (a + size) * COARSE) for a in start)
        return images[(slice(None), *fine)], distance[tuple(slice(a, a + size) for a in start)]
