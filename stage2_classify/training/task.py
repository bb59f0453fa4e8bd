"""What stage 2 brings to the common training loop."""

import numpy as np
import torch
from torch import Tensor, nn

from common.competition_metric import score
from stage2_classify.networks import build
from stage2_classify.settings import ClassifySettings
from stage2_classify.training.loss import competition_loss, voxel_loss
from stage2_classify.training.samples import Example, Samples

VALIDATED = 12
"""Held-out studies that a validation during training looks at, at most; `evaluate` looks at all."""


class ClassifyTask:
    """See `common.training.Task`. `prior` (8,): the best constant prediction for the training studies; `encoder`: the
    weights that the encoder starts from."""

    def __init__(
        self,
        training: list[Example],
        validation: list[Example],
        prior: np.ndarray,
        settings: ClassifySettings,
        encoder: dict[str, Tensor] | None = None,
    ) -> None:
        self.settings, self.validation = settings, validation
        seed = settings.train.seed
        self.samples = Samples(training, settings.augment, settings.crops, seed, settings.bend)
        self.network = build(settings.network, torch.from_numpy(prior), seed)
        if encoder is not None:
            self.network.get_submodule("encoder").load_state_dict(encoder)

    def sample(self, draw: int) -> dict[str, Tensor]:
        """One study, varied."""
        return self.samples.sample(draw)

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The competition's loss plus `loss.voxel_weight` times the loss on the voxel logits."""
        return self._losses(network(batch), batch)

    def _losses(self, outputs: dict[str, Tensor], batch: dict[str, Tensor]) -> dict[str, Tensor]:
        losses = {"competition": competition_loss(outputs["logits"], batch["labels"], self.settings.loss)}
        losses["loss"] = losses["competition"]
        if "voxel_logits" in outputs and self.settings.loss.voxel_weight:
            present = batch["present"]
            found: dict[str, Tensor] = {
                name: outputs[name][present]
                for name in ("voxel_logits", "vertebra_mask", "distance")
                if name in outputs
            }
            fractured = batch["fractured"][present]
            has_boxes = batch.get("has_boxes", torch.zeros(len(present), dtype=torch.bool, device=present.device))
            has_boxes = has_boxes.unsqueeze(-1).expand_as(present)[present]
            losses["voxel"] = voxel_loss(found, fractured, has_boxes, self.settings.loss)
            losses["loss"] = losses["competition"] + self.settings.loss.voxel_weight * losses["voxel"]
        return losses

    def validate(self, network: nn.Module) -> dict[str, float]:
        """`loss` of the first studies of the fold that is left out, as they are; the competition's `score` there."""
        if not self.validation:
            return {}
        device = next(network.parameters()).device
        samples = Samples(self.validation[:VALIDATED], self.settings.augment.off(), self.settings.crops, seed=0)
        losses, predictions, labels = [], [], []
        for number in range(len(samples.examples)):
            batch = {name: value[None].to(device) for name, value in samples.sample(number).items()}
            outputs = network(batch)
            losses.append(float(self._losses(outputs, batch)["loss"]))
            predictions.append(torch.sigmoid(outputs["logits"][0].float()).cpu().numpy())
            labels.append(batch["labels"][0].cpu().numpy())
        return {"loss": float(np.mean(losses)), "score": score(np.stack(predictions), np.stack(labels))}
