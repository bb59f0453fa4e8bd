"""The competition winner's recipe: slices with their neighbours and the mask as channels, a 2D CNN (the project's own,
or one of timm), an LSTM along the slices of each vertebra; then the same head across the levels as the 3D network has.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stage2_classify.networks.blocks import VOXEL_START, Residual, evidence, pooled, stem, whereabouts
from stage2_classify.networks.slice_features import TimmFeatures
from stage2_classify.settings import NetworkSettings


class Slices25d(nn.Module):
    """An encoder of vertebrae; see `networks` for what comes in and goes out.

    The places of the voxel logits are those of the CNN's maps, in every slice. To each the LSTM adds what it makes of
    the slice and the ones beside it.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.slices, self.neighbours, self.shows_mask = settings.slices, settings.neighbours, settings.inputs != "ct"
        inputs = 2 * self.neighbours + 2
        self.encoder: nn.Module
        if settings.encoder == "own":
            self.encoder, width = _own_features(inputs, settings.channels), settings.channels[-1]
        else:
            self.encoder = TimmFeatures(settings.encoder, inputs)
            width = self.encoder.channels
        self.local = nn.Conv2d(width, 1, 1)
        self.along = nn.LSTM(2 * width, settings.hidden, batch_first=True, bidirectional=True)
        self.of_slice = nn.Linear(2 * settings.hidden, 1)
        nn.init.constant_(self.of_slice.bias, VOXEL_START)
        self.top_places = settings.top_places
        self.embed = nn.Sequential(
            nn.Dropout(settings.dropout), nn.Linear(4 * settings.hidden, settings.embedding), nn.ReLU()
        )

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        images, seen = batch["images"], batch["mask_seen"][:, None, None, None] * self.shows_mask
        where = self._positions(images.shape[-1], images.device)
        stack = self._stack(images, seen, where)
        n, slices = stack.shape[:2]

        maps = self.encoder(stack.flatten(0, 1))
        own = images[:, 1][..., where].permute(0, 3, 1, 2)
        within = F.adaptive_max_pool2d(own, maps.shape[2:]).flatten(2) > 0.25
        features, _ = self.along(pooled(maps.flatten(2), within.flatten(0, 1)).view(n, slices, -1))
        local = (self.local(maps).view(n, slices, -1) + self.of_slice(features)).flatten(1).float()
        near = within.flatten(1)
        outputs = {
            "embedding": self.embed(pooled(features.transpose(1, 2), within.any(dim=2))).float(),
            "evidence": evidence(local, near, 0 if self.training else self.top_places),
            "voxel_logits": local,
            "vertebra_mask": near,
        }
        if "distance" in batch:
            to_box = batch["distance"].float()
            lowest = -F.adaptive_max_pool3d(-to_box.unsqueeze(1), (*maps.shape[2:], to_box.shape[-1]))
            planes = F.interpolate(lowest[:, 0].flatten(1, 2), size=images.shape[-1], mode="nearest")[..., where]
            outputs["distance"] = planes.transpose(1, 2).flatten(1)
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


def _own_features(inputs: int, channels: tuple[int, ...]) -> nn.Sequential:
    """(N, inputs, X, Y) -> (N, channels[-1], ...): a stem and residual blocks that halve the resolution."""
    layers: list[nn.Module] = [stem(2, inputs, channels[0])]
    for before, after in zip(channels, (*channels[1:], channels[-1])):
        layers.append(Residual(2, before, after, 2))
    return nn.Sequential(*layers)
