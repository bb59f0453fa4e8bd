"""The baseline: one 3D CNN over the whole study shrunk to a small image, eight outputs; no masks, no boxes."""

import torch
from torch import Tensor, nn

from stage2_classify.networks.blocks import Residual, pooled, stem, to_logit
from stage2_classify.settings import NetworkSettings


class Naive(nn.Module):
    """Batch with `images` (B, 1, 2, X, Y, Z), of which the CT channel is read -> `logits` (B, 8)."""

    def __init__(self, settings: NetworkSettings, prior: Tensor) -> None:
        super().__init__()
        first, *deeper = settings.channels
        layers: list[nn.Module] = [stem(3, 1, first)]
        for inputs, channels in zip(settings.channels, deeper):
            layers.append(Residual(3, inputs, channels, 2))
        self.encoder = nn.Sequential(*layers)
        last = nn.Linear(2 * settings.channels[-1], len(prior))
        nn.init.zeros_(last.weight)
        with torch.no_grad():
            last.bias.copy_(to_logit(prior))
        self.head = nn.Sequential(nn.Dropout(settings.dropout), last)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        features = self.encoder(batch["images"][:, 0, :1]).flatten(2)
        everywhere = torch.ones(features[:, 0].shape, dtype=torch.bool, device=features.device)
        return {"logits": self.head(pooled(features, everywhere)).float()}
