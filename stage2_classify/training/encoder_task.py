"""First half of the training: the encoder alone, on patches of vertebrae, fractured and healthy ones equally often.

One vertebra in ten is fractured, and a fracture is a small part of it. On patches about the places that are known, by
boxes or because a synthetic fracture was put there, the encoder sees many times as many fractures in the same time.
"""

from pathlib import Path

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import default_collate

from common.training.weights import is_described, load_state, load_weights, read_tensors
from stage2_classify.networks import build_encoder
from stage2_classify.pretrained import from_imagenet, from_segmenter
from stage2_classify.pretrained.encoder import init_path
from stage2_classify.settings import ClassifySettings
from stage2_classify.training.encoder_patches import EncoderPatches
from stage2_classify.training.loss import smoothed, voxel_loss
from stage2_classify.training.samples import Example

HELD_OUT_PATCHES = 96
RUNNING = ("running_mean", "running_var", "num_batches_tracked")
"""What batch normalisation keeps besides weights: an encoder that was normalised by instances has none of it yet."""


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
        self.network = build_encoder(settings.network, settings.encoder.seed)
        start = init_path(settings)
        if start is not None:
            self._begin(start)

    def _begin(self, start: Path) -> None:
        if not is_described(start):
            encoder = self.settings.network.encoder
            from_imagenet.begin_from_imagenet(self.network, encoder, read_tensors(start), start)
            return
        state, description = load_weights(start)
        if description["kind"] == from_segmenter.KIND:
            from_segmenter.begin_from_segmenter(self.network, state, start)
        else:
            own = self.network.state_dict()
            running = {name: own[name] for name in own if name not in state and name.endswith(RUNNING)}
            load_state(self.network, {**running, **state}, start)

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
