"""A 3D full-resolution nnU-Net as TotalSegmentator runs it, with random weights: for its time, not its masks.

Network, window, step and Gaussian weights are the published ones; the scan is resampled by cubic splines, the answer
goes back to the scan's grid by nearest neighbour (TotalSegmentator 2: 1.5 mm, or 3 mm with --fast; no mirroring)."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import torch
from scipy import ndimage
from torch import nn

CLASSES = 27
"""Background and the 26 classes of the network that holds the vertebrae."""
STAGES = (32, 64, 128, 256, 320, 320)


def build(stages: tuple[int, ...] = STAGES) -> nn.Module:
    """The plain U-Net of nnU-Net's planner for windows of 128: two convolutions a stage, instance norm, leaky ReLU."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    network = PlainConvUNet(
        input_channels=1,
        n_stages=len(stages),
        features_per_stage=stages,
        conv_op=nn.Conv3d,
        kernel_sizes=3,
        strides=(1, *(2,) * (len(stages) - 1)),
        n_conv_per_stage=2,
        num_classes=CLASSES,
        n_conv_per_stage_decoder=2,
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )
    return network.eval()


@torch.inference_mode()
def segment(
    network: nn.Module, hu: np.ndarray, spacing: np.ndarray, spacing_mm: float, step: float, window: int = 128
) -> np.ndarray:
    """hu (X, Y, Z), `spacing` (3,) mm -> labels uint8 (X, Y, Z); windows overlap by 1 - `step`."""
    small = ndimage.zoom(hu.astype(np.float32), spacing / spacing_mm, order=3, mode="nearest")
    shape = np.array(small.shape)
    lacking = np.maximum(window - shape, 0)
    before = lacking // 2
    padded = np.pad((small - small.mean()) / small.std(), list(zip(before, lacking - before)))
    scan = torch.from_numpy(padded)
    weight = gaussian(window)
    logits, total = torch.zeros(CLASSES, *padded.shape), torch.zeros(padded.shape)
    for place in places(padded.shape, step, window):
        logits[(slice(None), *place)] += network(scan[place][None, None])[0] * weight
        total[place] += weight
    labels = (logits / total).argmax(0).numpy().astype(np.uint8)
    labels = labels[tuple(slice(b, b + n) for b, n in zip(before, shape))]
    near = [np.minimum(((np.arange(n) + 0.5) * m / n).astype(int), m - 1) for n, m in zip(hu.shape, labels.shape)]
    return labels[np.ix_(*near)]


def places(shape: tuple[int, ...], step: float, window: int) -> Iterator[tuple[slice, ...]]:
    """Where windows lie, as nnU-Net spreads them: evenly, at most `step` of a window apart."""
    starts = []
    for n in shape:
        count = int(np.ceil((n - window) / (window * step))) + 1
        starts.append(np.round(np.linspace(0, n - window, count)).astype(int).tolist())
    for corner in product(*starts):
        yield tuple(slice(start, start + window) for start in corner)


def gaussian(window: int) -> torch.Tensor:
    """(window,) * 3, 1 in the middle, nowhere 0."""
    line = np.exp(-0.5 * ((np.arange(window) - (window - 1) / 2) / (window / 8)) ** 2)
    weight = line[:, None, None] * line[:, None] * line
    return torch.from_numpy(np.maximum(weight, weight[weight > 0].min()).astype(np.float32))
