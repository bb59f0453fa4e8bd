"""The competition winner's classifier with random weights: 15 slices of each vertebra with their neighbours and the
mask, 224 x 224, through EfficientNetV2-S, then an LSTM along the slices. For its time, not its answers."""

import cv2
import numpy as np
import torch
from torch import nn

SLICES, NEIGHBOURS = 15, 2
CHANNELS = 2 * NEIGHBOURS + 2
MARGIN_MM = 10.0


class Recipe(nn.Module):
    """(B, 15, 6, S, S) -> (B, 15) logits, one a slice."""

    def __init__(self) -> None:
        super().__init__()
        import timm

        self.encoder = timm.create_model("tf_efficientnetv2_s", in_chans=CHANNELS, num_classes=0, pretrained=False)
        self.lstm = nn.LSTM(self.encoder.num_features, 256, 2, batch_first=True, bidirectional=True, dropout=0.3)
        self.head = nn.Sequential(nn.Linear(512, 256), nn.BatchNorm1d(256), nn.LeakyReLU(0.1), nn.Linear(256, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.encoder(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.head(self.lstm(features)[0].flatten(0, 1))[:, 0].unflatten(0, x.shape[:2])


@torch.inference_mode()
def classify(network: nn.Module, hu: np.ndarray, mask: np.ndarray, spacing: np.ndarray, size: int = 224) -> np.ndarray:
    """hu and mask (X, Y, Z), 1..7 = C1..C7 -> (levels, 15) logits of those in view."""
    crops = [_crop(hu, mask, level, spacing, size) for level in range(1, 8) if (mask == level).any()]
    return np.concatenate([network(torch.from_numpy(crop)[None]).numpy() for crop in crops])


def _crop(hu: np.ndarray, mask: np.ndarray, level: int, spacing: np.ndarray, size: int) -> np.ndarray:
    """(15, 6, size, size) of one vertebra: five slices about each of 15, and its mask."""
    inside = [np.flatnonzero((mask == level).any(axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
    grow = np.round(MARGIN_MM / spacing).astype(int)
    columns, rows = (slice(max(inside[k][0] - grow[k], 0), inside[k][-1] + grow[k]) for k in (0, 1))
    middles = np.linspace(inside[2][0], inside[2][-1], SLICES).round().astype(int)
    found = np.empty((SLICES, CHANNELS, size, size), np.float32)
    for number, middle in enumerate(middles):
        for channel, offset in enumerate(range(-NEIGHBOURS, NEIGHBOURS + 1)):
            k = int(np.clip(middle + offset, 0, hu.shape[2] - 1))
            plane = np.clip(hu[columns, rows, k].astype(np.float32) / 3000 + 1 / 3, 0, 1)
            found[number, channel] = cv2.resize(plane, (size, size))
        own = (mask[columns, rows, middle] == level).astype(np.float32)
        found[number, -1] = cv2.resize(own, (size, size), interpolation=cv2.INTER_NEAREST)
    return found
