"""What stage 2 brings to the common training loop."""

import numpy as np
import torch
from torch import Tensor, nn

from common.competition_metric import score
from stage2_classify.crops.batch import plain
from stage2_classify.networks import build
from stage2_classify.settings import ClassifySettings
from stage2_classify.training.loss import competition_loss, local_loss
from stage2_classify.training.samples import Example, Samples


class ClassifyTask:
    """See `common.training.Task`. `prior` (8,): the best constant answer for the training studies; `encoder`: the
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
        self.samples = Samples(training, settings.augment, settings.crops, seed)
        self.network = build(settings.network, torch.from_numpy(prior), seed)
        if encoder is not None:
            self.network.get_submodule("encoder").load_state_dict(encoder)

    def sample(self, draw: int) -> dict[str, Tensor]:
        """One study, varied."""
        return self.samples.sample(draw)

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The competition's loss plus `loss.voxel_weight` times the loss on the local logits."""
        answer = network(batch)
        losses = {"competition": competition_loss(answer["logits"], batch["labels"], self.settings.loss)}
        losses["loss"] = losses["competition"]
        if "local" in answer and self.settings.loss.voxel_weight:
            present = batch["present"]
            found = {name: answer[name][present] for name in ("local", "near", "distance") if name in answer}
            fractured = batch["fractured"][present]
            boxed = batch.get("boxed", torch.zeros(len(present), dtype=torch.bool, device=present.device))
            boxed = boxed.unsqueeze(-1).expand_as(present)[present]
            losses["local"] = local_loss(found, fractured, boxed, self.settings.loss)
            losses["loss"] = losses["competition"] + self.settings.loss.voxel_weight * losses["local"]
        return losses

    def validate(self, network: nn.Module) -> dict[str, float]:
        """The competition's score on the fold that is left out."""
        if not self.validation:
            return {}
        device = next(network.parameters()).device
        answers = []
        for example in self.validation:
            batch = {name: value.to(device) for name, value in plain(example.crops).items()}
            answers.append(torch.sigmoid(network(batch)["logits"][0].float()).cpu().numpy())
        return {"score": score(np.stack(answers), np.stack([example.labels for example in self.validation]))}
