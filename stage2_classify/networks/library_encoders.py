"""3D encoders of segmentation-models-pytorch-3d, timm-3d's among them, as feature maps of vertebrae."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.errors import ConfigError
from common.training.instance_norm import norm_by_instances

OF_TIMM = "tu-"
"""What smp-3d puts before the names of timm-3d's models."""


class LibraryFeatures(nn.Module):
    """(N, inputs, X, Y, Z) -> maps at 1/4, 1/8, ... 1/2^depth of the resolution, with `channels` each.

    Normalised by instances, from random weights. Volumes are filled up with zeros to a multiple of 2^depth, since the
    libraries round in ways of their own. Raises ConfigError for a name that isn't one of the library's, and for one
    that the library can't build.
    """

    def __init__(self, name: str, inputs: int, depth: int) -> None:
        super().__init__()
        from segmentation_models_pytorch_3d.encoders import encoders, get_encoder

        if name not in encoders and not name.startswith(OF_TIMM):
            raise ConfigError(
                f"network.encoder is {name}; expected own, {OF_TIMM} and the name of a model of timm-3d, or one of "
                f"{', '.join(sorted(encoders))}"
            )
        try:
            self.encoder = get_encoder(name, in_channels=inputs, depth=depth, weights=None)
        except (TypeError, ValueError, RuntimeError) as error:  # some need a version of timm-3d that isn't this one
            raise ConfigError(f"network.encoder: {name} can't be built with {depth} stages: {error}") from None
        norm_by_instances(self.encoder)
        self.depth, self.channels = depth, tuple(self.encoder.out_channels[2:])
        _check(name, self, inputs)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The maps, the finest first."""
        size = x.shape[2:]
        to_add = [-n % 2**self.depth for n in size]
        maps = list(self.encoder(F.pad(x, [0, to_add[2], 0, to_add[1], 0, to_add[0]])))[2:]
        return [found[(..., *(slice(n) for n in _halved(size, k)))] for k, found in enumerate(maps, 2)]


def _halved(size: tuple[int, ...], times: int) -> tuple[int, ...]:
    """Cells of a map that covers `size` cells."""
    return tuple(-(-n // 2**times) for n in size)


@torch.no_grad()
def _check(name: str, features: LibraryFeatures, inputs: int) -> None:
    """Some encoders of the library fail on volumes, or don't halve them at every step."""
    size = tuple(n * 2**features.depth - 3 for n in (3, 4, 5))
    wanted = [(1, c, *_halved(size, k)) for k, c in enumerate(features.channels, 2)]
    try:
        found = [tuple(made.shape) for made in features.eval()(torch.zeros(1, inputs, *size))]
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"network.encoder: {name} doesn't take volumes: {str(error).splitlines()[0]}") from None
    finally:
        features.train()
    if found != wanted or len(found) != features.depth - 1:
        raise ConfigError(f"network.encoder: {name} makes maps of {found} from {size}; expected {wanted}")
