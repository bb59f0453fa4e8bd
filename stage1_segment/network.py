"""The segmentation network: a U-Net with a slim residual encoder, that takes its first pass' prediction as an input.

Encoder and decoder compute what `resnet.BasicBlock` and `UnetDecoder` of segmentation-models-pytorch-3d do, and name
their parameters alike, so that weights files fit both; importing that package takes seconds.
"""

from collections.abc import Sequence
from itertools import pairwise, zip_longest

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.errors import ConfigError
from common.labels import CLASS_NAMES
from stage1_segment.network_input import PREVIOUS_PASS_SCALE
from stage1_segment.on_cpu import Convolution, InstanceNorm, alone_on_cpu, convolved_at_twice
from stage1_segment.settings import NetworkSettings

LEVEL_COUNT = len(CLASS_NAMES) - 1
INPUTS = 1 + LEVEL_COUNT
"""CT, and a channel per level of the previous pass."""
DETAIL = 8
"""Channels of the branch at full resolution."""


class ResidualBlock(nn.Module):
    """Two convolutions with a way around them (He et al. 2016). `bn1`, `bn2`: normalisation by instances; they are
    called so in weights files."""

    def __init__(self, inputs: int, channels: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = Convolution(inputs, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = InstanceNorm(channels, affine=True)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = Convolution(channels, channels, 3, padding=1, bias=False)
        self.bn2 = InstanceNorm(channels, affine=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        around = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += around
        return self.relu(y)


class Encoder(nn.Module):
    """(N, inputs, X, Y, Z) -> maps of `channels[k]` channels at 1 / 2^(k + 1) of the resolution, the finest first."""

    def __init__(self, inputs: int, channels: Sequence[int], blocks: int) -> None:
        super().__init__()
        self.stem = _convolution(inputs, channels[0], stride=2)
        self.stages = nn.ModuleList(_stage(before, width, blocks) for before, width in pairwise(channels))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [self.stem(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps


class DecoderBlock(nn.Module):
    """Twice the resolution, joined with the encoder's map of it, then two convolutions."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _convolution(inputs, channels), _convolution(channels, channels)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        if skip is None and alone_on_cpu(x):
            return self.conv2(self.conv1[1:](convolved_at_twice(x, self.conv1.get_parameter("0.weight"))))
        x = functional.interpolate(x, scale_factor=2, mode="nearest")
        return self.conv2(self.conv1(x if skip is None else torch.cat([x, skip], dim=1)))


class Decoder(nn.Module):
    """The encoder's maps, the finest first -> (N, decoder_channels[-1], X, Y, Z) at full resolution."""

    def __init__(self, channels: Sequence[int], decoder_channels: Sequence[int]) -> None:
        super().__init__()
        *finer, deepest = channels
        inputs, skips = (deepest, *decoder_channels[:-1]), (*finer[::-1], 0)
        self.blocks = nn.ModuleList(
            DecoderBlock(before + skip, width) for before, skip, width in zip(inputs, skips, decoder_channels)
        )

    def forward(self, maps: list[Tensor]) -> Tensor:
        x, *skips = reversed(maps)
        for block, skip in zip_longest(self.blocks, skips):
            x = block(x, skip)
        return x


def _convolution(inputs: int, channels: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        Convolution(inputs, channels, 3, stride=stride, padding=1, bias=False),
        InstanceNorm(channels, affine=True),
        nn.ReLU(inplace=True),
    )


def _stage(before: int, width: int, blocks: int) -> nn.Sequential:
    shortcut = nn.Sequential(
        Convolution(before, width, 1, stride=2, bias=False), InstanceNorm(width, affine=True)
    )
    rest = [ResidualBlock(width, width) for _ in range(blocks - 1)]
    return nn.Sequential(ResidualBlock(before, width, 2, shortcut), *rest)


class TwoPassUnet(nn.Module):
    """Image (N, 2, X, Y, Z), CT and previous pass -> logits (N, 9, X, Y, Z).

    The previous pass is spread over a channel per level, for the U-Net to see and, times a learned number, as a first
    guess of the logits: so the second pass learns from the start to correct the first one rather than to repeat it. The
    encoder begins at half the resolution; `detail` brings the edges in at full resolution."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.encoder = Encoder(INPUTS, settings.channels, settings.blocks)
        self.decoder = Decoder(settings.channels, settings.decoder_channels)
        self.detail = _convolution(INPUTS, DETAIL)
        self.head = Convolution(settings.decoder_channels[-1] + DETAIL, len(CLASS_NAMES), 3, padding=1)
        self.trust = nn.Parameter(torch.tensor(2.0))

    def forward(self, image: Tensor) -> Tensor:
        ct, previous = image.movedim(1, -1).split(1, dim=-1)  # channels last: their order of memory in the network
        numbers = torch.arange(1, LEVEL_COUNT + 1, device=image.device)
        levels = functional.relu(1 - (previous * PREVIOUS_PASS_SCALE - numbers).abs())
        x = torch.cat([ct, levels], dim=-1).movedim(-1, 1)
        wide = self.decoder(self.encoder(x))
        logits = self.head(torch.cat([wide, self.detail(x)], dim=1))
        return logits + functional.pad(self.trust * levels, (1, 0)).movedim(-1, 1)


def build_network(settings: NetworkSettings, seed: int = 0) -> nn.Module:
    """The network, initialised from `seed`: (N, 2, X, Y, Z) CT and previous pass -> (N, 9, X, Y, Z) logits of
    `labels.CLASS_NAMES`. X, Y, Z must be multiples of `settings.stride`. Normalised by instances, so that the
    output for a sample doesn't depend on its neighbours in the batch. Raises ConfigError.
    """
    depth = len(settings.channels)
    if len(settings.decoder_channels) != depth:
        raise ConfigError(
            f"network.decoder_channels has {len(settings.decoder_channels)} entries; expected {depth}, as many as "
            "network.channels"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TwoPassUnet(settings)
    return network.to(memory_format=torch.channels_last_3d)
