"""2D CNNs of timm, by their names, as feature maps of slices."""

import torch
from torch import Tensor, nn

from common.errors import ConfigError

AT_A_16TH = 3
"""Place of these maps among those that timm's models make, at 1/2, 1/4 and so on."""


class TimmFeatures(nn.Module):
    """(N, inputs, X, Y) in 0..1 -> (N, channels, X/16, Y/16): the model's feature maps at a 16th of the resolution,
    from random weights. Its later layers, for coarser maps, are left out.

    Normalised by batches, as the model's ImageNet weights need it. Raises ConfigError for a name that timm doesn't
    have, and for a model without such maps.
    """

    def __init__(self, name: str, inputs: int) -> None:
        super().__init__()
        import timm

        try:
            self.model = timm.create_model(
                name, pretrained=False, in_chans=inputs, features_only=True, out_indices=(AT_A_16TH,)
            )
        except (RuntimeError, TypeError, ValueError, AssertionError) as error:
            raise ConfigError(f"network.encoder: {name} isn't a CNN of timm for slices: {error}") from None
        self.model = self.model.to(memory_format=torch.channels_last)
        self.channels, reduction = int(self.model.feature_info.channels()[0]), self.model.feature_info.reduction()[0]
        if reduction != 16:
            raise ConfigError(f"network.encoder: {name} makes maps at 1/{reduction} of the resolution; expected 1/16")

    def forward(self, x: Tensor) -> Tensor:
        return self.model((2 * x - 1).contiguous(memory_format=torch.channels_last))[0]
