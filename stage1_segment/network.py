"""The segmentation network: a U-Net of segmentation-models-pytorch-3d on a slim residual encoder."""

from typing import Any

import segmentation_models_pytorch_3d as smp
import torch
from segmentation_models_pytorch_3d.encoders import encoders
from segmentation_models_pytorch_3d.encoders._base import EncoderMixin
from segmentation_models_pytorch_3d.encoders.resnet import BasicBlock
from torch import Tensor, nn
from torch.nn import functional

from common.errors import ConfigError
from common.labels import CLASS_NAMES
from common.training.instance_norm import norm_by_instances
from stage1_segment.network_input import PREVIOUS_PASS_SCALE
from stage1_segment.settings import NetworkSettings

LEVEL_COUNT = len(CLASS_NAMES) - 1


DETAIL = 8
"""Channels of the branch at full resolution."""


class SlimEncoder(nn.Module, EncoderMixin):
    """A residual encoder; stage k has `channels[k]` channels at 1 / 2^(k + 1) of the resolution."""

    def __init__(self, channels: tuple[int, ...], blocks: int, depth: int, strides: Any) -> None:
        super().__init__()
        self._depth, self._in_channels, self._out_channels = depth, 3, (3, *channels)
        self.stem = nn.Sequential(
            nn.Conv3d(3, channels[0], 3, stride=strides[0], padding=1, bias=False),
            nn.BatchNorm3d(channels[0]),
            nn.ReLU(inplace=True),
        )
        self.stages = nn.ModuleList(
            _stage(before, width, stride, blocks) for before, width, stride in zip(channels, channels[1:], strides[1:])
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [x, self.stem(x)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features


def _stage(before: int, width: int, stride: tuple[int, int, int], blocks: int) -> nn.Sequential:
    shortcut = nn.Sequential(nn.Conv3d(before, width, 1, stride=stride, bias=False), nn.BatchNorm3d(width))
    rest = [BasicBlock(width, width) for _ in range(blocks - 1)]
    return nn.Sequential(BasicBlock(before, width, stride, shortcut), *rest)


class TwoPassUnet(nn.Module):
    """Image (N, 2, X, Y, Z), CT and previous pass -> logits (N, 9, X, Y, Z).

    The previous pass is spread over a channel per level, for the U-Net to see and, times a learned number, as a first
    guess of the logits: so the second pass learns from the start to correct the first one rather than to repeat it. The
    encoder begins at half the resolution; `detail` brings the edges in at full resolution."""

    def __init__(self, unet: smp.Unet, width: int) -> None:
        super().__init__()
        self.encoder, self.decoder = unet.encoder, unet.decoder
        self.detail = nn.Sequential(
            nn.Conv3d(1 + LEVEL_COUNT, DETAIL, 3, padding=1, bias=False), nn.BatchNorm3d(DETAIL), nn.ReLU(inplace=True)
        )
        self.head = nn.Conv3d(width + DETAIL, len(CLASS_NAMES), 3, padding=1)
        self.trust = nn.Parameter(torch.tensor(2.0))

    def forward(self, image: Tensor) -> Tensor:
        ct, previous = image[:, :1], image[:, 1:]
        numbers = torch.arange(1, LEVEL_COUNT + 1, device=image.device).view(1, -1, 1, 1, 1)
        levels = (1 - (previous * PREVIOUS_PASS_SCALE - numbers).abs()).clamp(min=0)
        x = torch.cat([ct, levels], dim=1).contiguous(memory_format=torch.channels_last_3d)
        wide = self.decoder(*self.encoder(x))
        logits = self.head(torch.cat([wide, self.detail(x)], dim=1))
        return logits + self.trust * functional.pad(levels, (0, 0, 0, 0, 0, 0, 1, 0))


def build_network(settings: NetworkSettings, seed: int = 0) -> nn.Module:
    """The network, initialised from `seed`: (N, 2, X, Y, Z) CT and previous pass -> (N, 9, X, Y, Z) logits of
    `labels.CLASS_NAMES`. X, Y, Z must be multiples of `settings.stride`. Normalised by instances, so that the
    output for a sample doesn't depend on its neighbours in the batch.
    """
    depth = len(settings.channels)
    if len(settings.decoder_channels) != depth:
        raise ConfigError(
            f"network.decoder_channels has {len(settings.decoder_channels)} entries; expected {depth}, as many as "
            "network.channels"
        )
    encoders["slim"] = {
        "encoder": SlimEncoder,
        "params": {"channels": tuple(settings.channels), "blocks": settings.blocks},
        "pretrained_settings": {},
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = smp.Unet(
            encoder_name="slim",
            encoder_depth=depth,
            encoder_weights=None,
            decoder_channels=tuple(settings.decoder_channels),
            in_channels=1 + LEVEL_COUNT,
            classes=len(CLASS_NAMES),
            strides=((2, 2, 2),) * depth,
        )
        network = TwoPassUnet(network, settings.decoder_channels[-1])
    norm_by_instances(network)
    return network.to(memory_format=torch.channels_last_3d)
