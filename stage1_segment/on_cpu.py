"""Layers that a CPU is faster at when it has a single window: the same sums, shorter ways to them."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def alone_on_cpu(x: Tensor) -> bool:
    """Whether a map (N, C, X, Y, Z) is of a single window, and on a CPU whose torch has oneDNN."""
    return x.device.type == "cpu" and len(x) == 1 and torch.backends.mkldnn.is_available()


def predicts_in_32_bits(x: Tensor) -> bool:
    """Whether a map `alone_on_cpu` is of a prediction that every machine shall compute alike."""
    return torch.is_inference_mode_enabled() and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


class Convolution(nn.Conv3d):
    """Predicts in 32 bits by oneDNN in any case: torch has a way of its own for small maps, several times as long."""

    def forward(self, x: Tensor) -> Tensor:
        if not (alone_on_cpu(x) and predicts_in_32_bits(x)):
            return super().forward(x)
        return torch.ops.aten.mkldnn_convolution(
            x, self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups
        )


class InstanceNorm(nn.InstanceNorm3d):
    """In the order of memory that the convolutions have; torch's own turns every map over and back. It is the batch
    normalisation of a batch of one, whose own statistics are off by 0.0001 in 32 bits."""

    def forward(self, x: Tensor) -> Tensor:
        if not alone_on_cpu(x):
            return super().forward(x)
        if not predicts_in_32_bits(x):
            return functional.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)
        voxels = x.permute(0, 2, 3, 4, 1).reshape(-1, x.shape[1])
        mean = voxels.mean(dim=0)
        variance = (voxels - mean).square_().mean(dim=0)
        return functional.batch_norm(x, mean, variance, self.weight, self.bias, eps=self.eps)


def convolved_at_twice(x: Tensor, weight: Tensor) -> Tensor:
    """`x` at twice the resolution (nearest), convolved by weight (O, I, 3, 3, 3): as one transposed convolution of x,
    0.3 of the products. A cell of x gives to 4 x 4 x 4 cells what the kernel gives from the 2 x 2 x 2 that it fills."""
    spread = weight.new_zeros((*weight.shape[:2], 4, 4, 4))
    for i, j, k in torch.cartesian_prod(*[torch.arange(2)] * 3).tolist():
        spread[:, :, i : i + 3, j : j + 3, k : k + 3] += weight.flip(2, 3, 4)
    spread = spread.transpose(0, 1).contiguous(memory_format=torch.channels_last_3d)
    return functional.conv_transpose3d(x, spread, stride=2, padding=1)
