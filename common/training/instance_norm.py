"""Networks of libraries, normalised by instances."""

from torch import Tensor, nn


def norm_by_instances(module: nn.Module) -> None:
    """Replaces every 3D batch normalisation within `module`, so that the output for a sample doesn't depend on its
    neighbours in the batch. It stays untouched if it is itself one."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm3d):
            setattr(module, name, _by_instances(child))
        else:
            norm_by_instances(child)


def _by_instances(norm: nn.BatchNorm3d) -> nn.Module:
    """Those of timm-3d carry their activation in `act`."""
    act = getattr(norm, "act", None)
    if isinstance(act, nn.Module):
        return InstanceNormAct(norm.num_features, act)
    return nn.InstanceNorm3d(norm.num_features, affine=True)


class InstanceNormAct(nn.InstanceNorm3d):
    """A normalisation and the activation after it, with the parameters' names of the normalisation alone."""

    def __init__(self, features: int, act: nn.Module) -> None:
        super().__init__(features, affine=True)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(super().forward(x))
