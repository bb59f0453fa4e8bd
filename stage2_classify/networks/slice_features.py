"""2D CNNs of timm, by their names, as feature maps of slices."""

import torch
from torch import Tensor, nn

from common.errors import ConfigError


class TimmFeatures(nn.Module):
    """(N, inputs, X, Y) in 0..1 -> (N, channels, X', Y'), the model's last feature maps, from random weights.

    Normalised by batches, as the model's ImageNet weights need it. Raises ConfigError for a name that timm doesn't
    have, and for a model that makes no maps.
    """

    def __init__(self, name: str, inputs: int) -> None:
        super().__init__()
        import timm

        try:
            model = timm.create_model(name, pretrained=False, in_chans=inputs, num_classes=0, global_pool="")
            with torch.no_grad():
                found = model.eval().forward_features(torch.zeros(1, inputs, 64, 96))
        except (RuntimeError, TypeError, ValueError, AssertionError) as error:
            raise ConfigError(f"network.encoder: {name} isn't a model of timm for slices: {error}") from None
        self.model, self.channels = model.train().to(memory_format=torch.channels_last), int(model.num_features)
        if found.ndim != 4 or found.shape[1] != self.channels:
            raise ConfigError(f"network.encoder: {name} makes {tuple(found.shape)}, no feature maps; take a CNN")

    def forward(self, x: Tensor) -> Tensor:
        return self.model.forward_features((2 * x - 1).contiguous(memory_format=torch.channels_last))
