"""Layers that a CPU in 32 bits is faster at when the network only predicts: the same sums, shorter ways to them."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def predicts(x: Tensor) -> bool:
    """Whether a map (N, C, X, Y, Z) is of a prediction on a CPU in 32 bits, and of a single window."""
    return (
        torch.is_inference_mode_enabled()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and len(x) == 1
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
    )


class Convolution(nn.Conv3d):
    """By oneDNN in any case: torch takes a way of its own, several times as long, for small maps of one window."""

    def forward(self, x: Tensor) -> Tensor:
        if not predicts(x):
            return super().forward(x)
        return torch.ops.aten.mkldnn_convolution(
            x, self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups
        )


class InstanceNorm(nn.InstanceNorm3d):
    """In the order of memory that the convolutions have; torch's own turns every map over and back."""

    def forward(self, x: Tensor) -> Tensor:
        if not predicts(x):
            return super().forward(x)
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
