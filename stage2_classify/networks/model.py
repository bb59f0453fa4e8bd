"""The whole network: an encoder looks at each vertebra by itself, a head looks across the seven levels."""

import torch
from torch import Tensor, nn

from stage2_classify.networks.blocks import scatter
from stage2_classify.networks.sequence import SequenceHead


class Neck(nn.Module):
    """See `networks` for what comes in and goes out. Only the vertebrae in view are encoded."""

    def __init__(self, encoder: nn.Module, head: SequenceHead) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        present = batch["present"]
        names: tuple[str, ...] = ("images", "mask_seen", "distance")
        vertebrae = {name: batch[name][present] for name in names if name in batch}
        found = {name: scatter(value, present) for name, value in self._encoded(vertebrae).items()}
        logits = self.head(found.pop("embedding"), found.pop("evidence"), present)
        return {"logits": logits.float(), **found}

    def _encoded(self, vertebrae: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the encoder says of each vertebra, which doesn't depend on the others once it has learned: without
        gradients a CPU takes one after the other, whose maps stay in its cache."""
        count = len(vertebrae["images"])
        if self.training or torch.is_grad_enabled() or count < 2 or vertebrae["images"].device.type != "cpu":
            return self.encoder(vertebrae)
        each = [self.encoder({name: value[k : k + 1] for name, value in vertebrae.items()}) for k in range(count)]
        return {name: torch.cat([one[name] for one in each]) for name in each[0]}
