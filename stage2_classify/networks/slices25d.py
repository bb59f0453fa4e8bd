"""The competition winner's recipe: slices with their neighbours and the mask as channels, a 2D CNN, an LSTM along
the slices of each vertebra; then the same head across the levels as the 3D network has."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stage2_classify.networks.blocks import VOXEL_START, Residual, log_mean_exp, pooled, stem, whereabouts
from stage2_classify.settings import NetworkSettings


class Slices25d(nn.Module):
    """An encoder of vertebrae; see `networks` for what comes in and goes out.

    The places of the voxel logits are the slices.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.slices, self.neighbours = settings.slices, settings.neighbours
        first, *deeper = settings.channels
        layers: list[nn.Module] = [stem(2, 2 * self.neighbours + 2, first)]
        for inputs, channels in zip(settings.channels, deeper):
            layers.append(Residual(2, inputs, channels, 2))
        self.encoder = nn.Sequential(*layers, Residual(2, settings.channels[-1], settings.channels[-1], 2))
        width = settings.channels[-1]
        self.along = nn.LSTM(2 * width, settings.hidden, batch_first=True, bidirectional=True)
        self.local = nn.Linear(2 * settings.hidden, 1)
        nn.init.constant_(self.local.bias, VOXEL_START)
        self.embed = nn.Sequential(
            nn.Dropout(settings.dropout), nn.Linear(4 * settings.hidden, settings.embedding), nn.ReLU()
        )

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        images, seen = batch["images"], batch["mask_seen"][:, None, None, None]
        where = self._positions(images.shape[-1], images.device)
        stack = self._stack(images, seen, where)
        n, slices = stack.shape[:2]

        maps = self.encoder(stack.flatten(0, 1)).flatten(2)
        everywhere = torch.ones(maps[:, 0].shape, dtype=torch.bool, device=maps.device)
        features, _ = self.along(pooled(maps, everywhere).view(n, slices, -1))
        near = images[:, 1].amax(dim=(1, 2))[:, where] > 0.25
        local = self.local(features).squeeze(-1).float()
        outputs = {
            "embedding": self.embed(pooled(features.transpose(1, 2), near)).float(),
            "evidence": log_mean_exp(local, near) - VOXEL_START,
            "voxel_logits": local,
            "vertebra_mask": near,
        }
        if "distance" in batch:
            lowest = batch["distance"].float().amin(dim=(1, 2)).unsqueeze(1)
            outputs["distance"] = F.interpolate(lowest, size=images.shape[-1], mode="nearest")[:, 0, where]
        return outputs

    def _positions(self, depth: int, device: torch.device) -> Tensor:
        """(slices,): which of `depth` slices are looked at, evenly over the crop."""
        edges = torch.linspace(self.neighbours, depth - 1 - self.neighbours, self.slices, device=device)
        return edges.round().long()

    def _stack(self, images: Tensor, seen: Tensor, where: Tensor) -> Tensor:
        """(N, 2, X, Y, Z) -> (N, slices, 2 neighbours + 2, X, Y): each slice with its neighbours, and its mask."""
        offsets = range(-self.neighbours, self.neighbours + 1)
        planes = [images[:, 0, :, :, where + offset] for offset in offsets]
        planes.append((whereabouts(images[:, 1]) * seen)[..., where])
        return torch.stack(planes, dim=1).permute(0, 4, 1, 2, 3)
