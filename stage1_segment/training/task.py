"""What stage 1 brings to the training loop: samples of either source, the loss, a validation."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional

from common.labels import CLASS_NAMES
from common.training.weights import load_state, load_weights
from common.volume import Volume
from stage1_segment.inference.segmenter import Segmenter, segment
from stage1_segment.network import build_network
from stage1_segment.pretrained import init_path
from stage1_segment.settings import SegmentSettings
from stage1_segment.training.samples import Sample
from stage1_segment.training.synthetic.sample import BankSamples, SampleRecipe


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
        self.dice = DiceLoss(
            include_background=False, to_onehot_y=True, softmax=True, reduction="none", smooth_nr=1, smooth_dr=1
        )

    def sample(self, draw: int) -> dict[str, Tensor]:
        """`image` (2, X, Y, Z) float32, `mask` (1, X, Y, Z) int64."""
        image, mask = self.samples.sample(draw)
        return {"image": image, "mask": mask[None]}

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Dice over the levels that a patch holds, weighted, + cross-entropy, each a mean over samples. A level that
        isn't there has a Dice of 0 whatever the network says, which would only drown the others."""
        logits, mask = network(batch["image"]), batch["mask"]
        entropy = functional.cross_entropy(logits, mask[:, 0])
        present = functional.one_hot(mask.flatten(1), len(CLASS_NAMES)).amax(1)[:, 1:].float()
        dice = self.dice(logits, mask).flatten(1)
        dice = ((dice * present).sum(1) / present.sum(1).clamp(min=1)).mean()
        return {"loss": self.settings.loss.dice * dice + entropy, "dice_loss": dice, "cross_entropy": entropy}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Mean Dice of the levels in view, both passes, at the fine spacing."""
        device = next(network.parameters()).device
        segmenter = Segmenter(network, self.settings.patch, self.settings.predict, device)
        scores = []
        for make in self.held_out:
            sample = make()
            prediction = segment(Volume(sample.ct, sample.affine), segmenter).mask.array
            scores += [
                2
                * np.sum((prediction == v) & (sample.mask == v))
                / (np.sum(prediction == v) + np.sum(sample.mask == v))
                for v in range(1, 8)
                if (sample.mask == v).any()
            ]
        return {"dice": round(float(np.mean(scores)), 4)} if scores else {}


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
