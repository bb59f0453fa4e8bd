"""Training samples from an anatomy bank: what the network gets, and what it should predict."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stage1_segment.network_input import scaled
from stage1_segment.settings import SegmentSettings, SyntheticSettings
from stage1_segment.training.augment import simulated_previous_pass
from stage1_segment.training.synthetic.batch import those, to_device
from stage1_segment.training.synthetic.no_patient import without_patient
from stage1_segment.training.synthetic.placement import place
from stage1_segment.training.synthetic.scan import Recipe, draw_recipe, make_scans
from stage1_segment.training.synthetic.spine_alone import Alone, draw_alone, spines_alone
from stage1_segment.training.synthetic.subject import Subject
from stage1_segment.training.synthetic.worn_discs import draw_blocks, draw_severe_wear


@dataclass(frozen=True, eq=False)
class SampleRecipe:
    """What chance decides about a sample of the first (`coarse`) or the second pass: the subject's number and its scan,
    None: no patient. `seed` of what depends on the finished scan."""

    coarse: bool
    subject: int
    scan: Recipe | None
    alone: Alone | None
    seed: int


@dataclass(frozen=True, eq=False)
class BankSamples:
    """Training samples from a bank's subjects."""

    subjects: list[Subject]
    settings: SegmentSettings

    def draw(self, number: int) -> SampleRecipe:
        """Of sample `number`: a pure function of the seed and the number. Samples of one batch are of the same pass, so
        that their windows are of one size."""
        patch, synthetic, seed = self.settings.patch, self.settings.synthetic, self.settings.train.seed
        coarse = np.random.default_rng([seed, number // self.settings.train.batch, 1]).random() < patch.coarse_share
        rng = np.random.default_rng([seed, number, 0])
        window, voxel_mm = self._window(coarse)
        chosen = int(rng.integers(len(self.subjects)))
        subject = self.subjects[chosen]
        part = str(rng.choice(["chest", "head", "nothing"])) if rng.random() < synthetic.no_neck else "neck"
        scan = None
        if part != "nothing":
            placement = place(subject, np.array(window) * voxel_mm, coarse, synthetic, rng, part)
            scan = draw_recipe(subject, placement, window, voxel_mm, synthetic, rng, part, _wear(synthetic, rng))
        alone = draw_alone(rng) if coarse else None
        return SampleRecipe(coarse, chosen, scan, alone, int(rng.integers(2**31)))

    def make(self, recipes: Sequence[SampleRecipe], device: torch.device) -> tuple[Tensor, Tensor]:
        """Samples of one pass, made on the device: images (B, 2, X, Y, Z) float32 (CT in 0..1, previous pass), masks
        (B, X, Y, Z) int64. Of the recipes alone, but for the noise, which another kind of device draws otherwise."""
        coarse = recipes[0].coarse
        window, voxel_mm = self._window(coarse)
        hu = torch.empty((len(recipes), *window), device=device)
        masks = torch.zeros((len(recipes), *window), dtype=torch.uint8, device=device)
        patients = those([recipe.scan is not None for recipe in recipes])
        scans = [recipe.scan for recipe in recipes if recipe.scan is not None]
        if patients:
            some = to_device(patients, device)
            subjects = [self.subjects[recipes[number].subject] for number in patients]
            hu[some], masks[some] = make_scans(subjects, scans, window, voxel_mm, device)
        for number, recipe in enumerate(recipes):
            if recipe.scan is None:
                hu[number] = without_patient(window, recipe.seed, device)
        hu = spines_alone(hu, masks, [recipe.alone for recipe in recipes], voxel_mm)
        ct = scaled(hu, self.settings.patch)
        previous = (
            torch.zeros_like(ct) if coarse else self._previous_passes(ct, masks, [recipe.seed for recipe in recipes])
        )
        return torch.stack([ct, previous], dim=1), masks.long()

    def sample(self, number: int) -> tuple[Tensor, Tensor]:
        """Sample `number` by itself: image (2, X, Y, Z), mask (X, Y, Z)."""
        images, masks = self.make([self.draw(number)], torch.device("cpu"))
        return images[0], masks[0]

    def _window(self, coarse: bool) -> tuple[tuple[int, int, int], float]:
        patch = self.settings.patch
        return patch.window(coarse), patch.coarse_mm if coarse else patch.fine_mm

    def _previous_passes(self, ct: Tensor, masks: Tensor, seeds: Sequence[int]) -> Tensor:
        """What a first pass might have said, (B, X, Y, Z); `ct` is blanked where the second one doesn't look."""
        patch = self.settings.patch
        margin, ratio = self.settings.predict.margin_mm / patch.fine_mm, patch.coarse_mm / patch.fine_mm
        previous = []
        for scan, mask, seed in zip(ct, masks.cpu().numpy(), seeds):
            rng = np.random.default_rng(seed)
            seen = _about_the_spine(mask, margin, rng)
            kept = scan[seen].clone()
            scan.zero_()
            scan[seen] = kept
            previous.append(torch.from_numpy(simulated_previous_pass(mask, ratio, self.settings.augment, rng)))
        return torch.stack(previous).to(ct.device)


def _wear(settings: SyntheticSettings, rng: np.random.Generator) -> np.ndarray | None:
    """Discs of a hard spine in part of the scans; None: as usual."""
    if not settings.worn or rng.random() >= settings.worn:
        return None
    return draw_severe_wear(rng) if rng.random() < 0.5 else draw_blocks(rng)


def _about_the_spine(mask: np.ndarray, margin: float, rng: np.random.Generator) -> tuple[slice, ...]:
    """What the second pass gets to see: the spine's box, and a margin of so many voxels; now and then all."""
    if not mask.any() or rng.random() < 0.2:
        return (slice(None),) * 3
    around = []
    for axis in range(3):
        found = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        spare = margin + rng.uniform(-2, 4, 2)
        around.append(slice(max(int(found[0] - spare[0]), 0), int(found[-1] + spare[1]) + 1))
    return tuple(around)
