"""First half of the training: the encoder alone, on patches of vertebrae, fractured and healthy ones equally often.

One vertebra in ten is fractured, and a fracture is a small part of it. On patches about the places that are known, by
boxes or because a synthetic fracture was put there, the encoder sees many times as many fractures in the same time.
"""

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import default_collate

from stage2_classify.settings import ClassifySettings
from stage2_classify.training.encoder_patches import EncoderPatches
from stage2_classify.training.initial_encoder import initial_encoder
from stage2_classify.training.loss import smoothed, voxel_loss
from stage2_classify.training.samples import Example

HELD_OUT_PATCHES = 96

class EncoderTask:
    """See `common.training.Task`. Starts from the weights that `init_path` names.

    `examples`, `grounds`: see `EncoderPatches`; `held_out`: studies of the cohort that a validation looks at."""

    def __init__(
        self,
        examples: list[Example],
        settings: ClassifySettings,
        grounds: list[Example] | None = None,
        held_out: list[Example] | None = None,
    ) -> None:
        self.settings = settings
        self.patches = EncoderPatches(examples, settings, grounds)
        self.held_out = held_out or []
        self.network = initial_encoder(settings)

    def sample(self, draw: int) -> dict[str, Tensor]:
        """See `EncoderPatches`."""
        return self.patches.sample(draw)

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Cross-entropy of the evidence, plus `loss.voxel_weight` times the loss on the voxel logits."""
        outputs = network(batch)
        wanted = smoothed(batch["label"], self.settings.loss)
        vertebra = F.binary_cross_entropy_with_logits(outputs["evidence"], wanted)
        voxel = voxel_loss(outputs, batch["label"] > 0.5, batch["has_boxes"], self.settings.loss)
        return {"loss": vertebra + self.settings.loss.voxel_weight * voxel, "vertebra": vertebra, "voxel": voxel}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """`loss` of patches of the held-out studies as they are, always the same ones."""
        plain = self.settings.model_copy(update={"augment": self.settings.augment.off()})
        patches = EncoderPatches(self.held_out, plain)
        if patches.cohort is None or not len(patches.cohort.healthy):
            return {}
        device = next(network.parameters()).device
        losses = []
        for start in range(0, HELD_OUT_PATCHES, self.settings.encoder.batch):
            numbers = range(start, min(start + self.settings.encoder.batch, HELD_OUT_PATCHES))
            batch = default_collate([patches.sample(number) for number in numbers])
            losses.append(float(self.loss(network, {n: v.to(device) for n, v in batch.items()})["loss"]))
        return {"loss": float(np.mean(losses))}
