"""3D encoders of segmentation-models-pytorch-3d, timm-3d's among them, as feature maps of vertebrae."""

import torch
from torch import Tensor, nn

from common.errors import ConfigError
from common.instance_norm import norm_by_instances


class LibraryFeatures(nn.Module):
    """(N, inputs, X, Y, Z) -> maps at 1/4, 1/8, ... 1/2^depth of the resolution, with `channels` each.

    Normalised by instances, from random weights. Raises ConfigError for a name that isn't one of the library's,
    and for one that the library can't build.
    """

    def __init__(self, name: str, inputs: int, depth: int) -> None:
        super().__init__()
        from segmentation_models_pytorch_3d.encoders import encoders, get_encoder

        if name not in encoders:
            raise ConfigError(f"network.encoder is {name}; expected own, or one of {', '.join(sorted(encoders))}")
        try:
            self.encoder = get_encoder(name, in_channels=inputs, depth=depth, weights=None)
        except (TypeError, ValueError) as error:  # some need a version of timm-3d that isn't this one
            raise ConfigError(f"network.encoder: {name} can't be built with {depth} halvings: {error}") from None
        norm_by_instances(self.encoder)
        self.channels = tuple(self.encoder.out_channels[2:])
        _check(name, self, inputs, depth)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The maps, the finest first."""
        return list(self.encoder(x))[2:]


@torch.no_grad()
def _check(name: str, features: LibraryFeatures, inputs: int, depth: int) -> None:
    """Some encoders of the library fail on volumes, or round their maps' sizes in a way of their own."""
    size = tuple(n * 2**depth - 3 for n in (3, 4, 5))
    wanted = [(1, c, *(-(-n // 2**k) for n in size)) for k, c in enumerate(features.channels, 2)]
    try:
        found = [tuple(made.shape) for made in features.eval()(torch.zeros(1, inputs, *size))]
    except RuntimeError as error:
        raise ConfigError(f"network.encoder: {name} doesn't take volumes: {str(error).splitlines()[0]}") from None
    finally:
        features.train()
    if found != wanted or len(found) != depth - 1:
        raise ConfigError(f"network.encoder: {name} makes maps of {found} from {size}; expected {wanted}")
