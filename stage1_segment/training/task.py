"""What stage 1 brings to the training loop: samples of either source, the loss, a validation."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from common.masks.values import dice
from common.training.weights import load_state, load_weights
from common.volume import Volume
from stage1_segment.inference.segmenter import Segmenter, segment
from stage1_segment.network import build_network
from stage1_segment.pretrained import init_path
from stage1_segment.settings import AugmentSettings, SegmentSettings
from stage1_segment.training.patches import CohortSamples
from stage1_segment.training.samples import Sample
from stage1_segment.training.synthetic.sample import BankSamples, SampleRecipe

HELD_OUT_PATCHES = 12


class Samples(Protocol):
    """A source of training samples."""

    def sample(self, draw: int) -> tuple[Tensor, Tensor]:
        """Sample number `draw`: image (2, X, Y, Z) float32 (CT in 0..1, previous pass), mask (X, Y, Z) int64."""
        ...


class SegmentTask:
    """A training of stage 1 (`common.training.Task`). `held_out` make the studies that a validation looks at."""

    def __init__(self, settings: SegmentSettings, samples: Samples, held_out: list[Callable[[], Sample]]) -> None:
        self.settings, self.samples, self.held_out = settings, samples, held_out
        self.network = build_network(settings.network, settings.train.seed)
        start = init_path(settings)
        if start is not None:
            load_state(self.network, load_weights(start)[0], start)

    def sample(self, draw: int) -> dict[str, Tensor]:
        """`image` (2, X, Y, Z) float32, `mask` (1, X, Y, Z) int64."""
        image, mask = self.samples.sample(draw)
        return {"image": image, "mask": mask[None]}

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Dice over the levels that a patch holds, weighted, + cross-entropy, each a mean over samples. A level that
        isn't there has a Dice of 0 whatever the network says, which would only drown the others."""
        logits, mask = network(batch["image"]), batch["mask"][:, 0]
        entropy = functional.cross_entropy(logits, mask)
        each, present = dice_loss(logits, mask)
        mean = ((each * present).sum(1) / present.sum(1).clamp(min=1)).mean()
        return {"loss": self.settings.loss.dice * mean + entropy, "dice_loss": mean, "cross_entropy": entropy}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """`loss` of patches of the held-out studies, always the same ones; mean `dice` of the levels in view, both
        passes, at the fine spacing."""
        if not self.held_out:
            return {}
        device = next(network.parameters()).device
        segmenter = Segmenter(network, self.settings.patch, self.settings.predict, device)
        scores, studies = [], [make() for make in self.held_out]
        for sample in studies:
            prediction = segment(Volume(sample.ct, sample.affine), segmenter).mask.array
            scores += [dice(prediction == v, sample.mask == v) for v in range(1, 8) if (sample.mask == v).any()]
        figures = {"loss": self._held_out_loss(network, studies)}
        return {**figures, "dice": round(float(np.mean(scores)), 4)} if scores else figures

    def _held_out_loss(self, network: nn.Module, studies: list[Sample]) -> float:
        """Mean loss over `HELD_OUT_PATCHES` patches as they are, their previous pass with faults as in training."""
        plain = AugmentSettings.off().model_copy(update={"previous_pass": self.settings.augment.previous_pass})
        samples = CohortSamples(studies, self.settings.model_copy(update={"augment": plain}))
        device, losses = next(network.parameters()).device, []
        for number in range(HELD_OUT_PATCHES):
            image, mask = samples.sample(number)
            batch = {"image": image[None].to(device), "mask": mask[None, None].to(device)}
            losses.append(float(self.loss(network, batch)["loss"]))
        return float(np.mean(losses))


class BankTask(SegmentTask):
    """The same from an anatomy bank, whose samples are made on a GPU where there is one
    (`common.training.MakesOnDevice`)."""

    samples: BankSamples

    def draw(self, number: int) -> SampleRecipe:
        return self.samples.draw(number)

    def make(self, drawn: Sequence[SampleRecipe], device: torch.device) -> dict[str, Tensor]:
        """`image` (B, 2, X, Y, Z) float32, `mask` (B, 1, X, Y, Z) int64."""
        images, masks = self.samples.make(drawn, device)
        return {"image": images, "mask": masks[:, None]}


def dice_loss(logits: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """logits (B, C, X, Y, Z), mask (B, X, Y, Z) int64, class 0 the background -> (B, C - 1) float32: 1 minus the soft
    Dice of each other class, and 1 where the mask holds it, else 0.

    Milletari et al. 2016, with 1 added above and below the bar: MONAI's DiceLoss with smooth_nr and smooth_dr of 1. The
    mask isn't spread over C maps, and that package takes six seconds to import."""
    likely = torch.softmax(logits.float(), dim=1).flatten(2)
    classes = mask.flatten(1)
    right = likely.gather(1, classes[:, None])[:, 0]
    none = torch.zeros(likely.shape[:2], device=likely.device)
    shared = none.scatter_add(1, classes, right)[:, 1:]
    true = none.scatter_add(1, classes, torch.ones_like(right))[:, 1:]
    return 1 - (2 * shared + 1) / (likely.sum(dim=2)[:, 1:] + true + 1), (true > 0).float()
