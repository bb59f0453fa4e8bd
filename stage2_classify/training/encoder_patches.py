"""Patches of vertebrae, fractured and healthy ones equally often, from a cohort and from rescanned healthy scans."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stage2_classify.crops.cut import COARSE, FAR_MM, coarse_shape
from stage2_classify.settings import ClassifySettings
from stage2_classify.training import augment
from stage2_classify.training.bend_slices import bend
from stage2_classify.training.samples import Example
from stage2_classify.training.synthetic_fractures import add_synthetic_fracture


@dataclass(frozen=True, eq=False)
class Source:
    """Examples to pick vertebrae from. `healthy`, `located` (n, 2): place of an example, and of its level that is
    healthy, or fractured where boxes say where."""

    examples: list[Example]
    healthy: np.ndarray
    located: np.ndarray

    @classmethod
    def of(cls, examples: list[Example]) -> "Source":
        present = np.stack([example.crops.present for example in examples])
        fractured = np.stack([example.labels[:7] > 0.5 for example in examples])
        has_boxes = np.array([example.crops.distance is not None for example in examples])
        healthy = np.argwhere(present & ~fractured)
        return cls(examples, healthy, np.argwhere(present & fractured & has_boxes[:, None]))


class EncoderPatches:
    """Patch number n of a run, a pure function of the seed and n.

    `examples`: of the cohort; `grounds`: rescanned healthy scans, of which `grounds.share` of the patches come."""

    def __init__(
        self, examples: list[Example], settings: ClassifySettings, grounds: list[Example] | None = None
    ) -> None:
        self.settings = settings
        self.cohort = Source.of(examples) if examples else None
        self.grounds = Source.of(grounds) if grounds else None

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

    def _pick(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
        """A vertebra's images, and the distance to its fracture; half of the picks are fractured."""
        source = self._source(rng)
        if rng.random() < 0.5:
            if len(source.located) and rng.random() >= self.settings.augment.synthetic_fractures:
                study, level = source.located[rng.integers(len(source.located))]
                crops = source.examples[study].crops
                assert crops.distance is not None  # `located` names no others
                return crops.images[level], crops.distance[level]
            drawn = add_synthetic_fracture(_healthy(source, rng), self.settings.crops.spacing_mm, rng)
            if drawn is not None:
                return drawn
        return _healthy(source, rng), None

    def _source(self, rng: np.random.Generator) -> Source:
        if self.grounds is None or self.cohort is None:
            source = self.cohort or self.grounds
            assert source is not None  # there is something to learn from
            return source
        return self.grounds if rng.random() < self.settings.grounds.share else self.cohort

    def _patch(
        self, images: np.ndarray, distance: np.ndarray, known: bool, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Cuts a patch about a place in the bone: where the fracture is, if that is known, else anywhere."""
        coarse = images[1, COARSE // 2 :: COARSE, COARSE // 2 :: COARSE, COARSE // 2 :: COARSE] > 100
        wanted = coarse & (distance[tuple(map(slice, coarse.shape))] <= self.settings.loss.inside_mm)
        places = np.argwhere(wanted if known and wanted.any() else coarse)
        size = np.minimum(self.settings.encoder_patch, images.shape[1:]) // COARSE
        highest = np.array(images.shape[1:]) // COARSE - size
        place = places[rng.integers(len(places))] if len(places) else highest // 2
        start = np.clip(place - size // 2 + rng.integers(-1, 2, 3), 0, highest)
        coarse_window = tuple(slice(a, a + n) for a, n in zip(start, size))
        window = tuple(slice(s.start * COARSE, s.stop * COARSE) for s in coarse_window)
        return images[(slice(None), *window)], distance[coarse_window]


def _healthy(source: Source, rng: np.random.Generator) -> np.ndarray:
    study, level = source.healthy[rng.integers(len(source.healthy))]
    return source.examples[study].crops.images[level]
