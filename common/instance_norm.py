"""Networks of libraries, normalised by instances."""

from torch import nn


def norm_by_instances(module: nn.Module) -> None:
    """Replaces every 3D batch normalisation within `module`, so that the answer for a sample doesn't depend on its
    neighbours in the batch. It stays untouched if it is itself one."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm3d):
            setattr(module, name, nn.InstanceNorm3d(child.num_features, affine=True))
        else:
            norm_by_instances(child)
