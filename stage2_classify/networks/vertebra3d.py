"""A small 3D CNN on each vertebra: a fracture logit at every place of it, pooled to evidence for the level."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stage2_classify.networks.blocks import (
    VOXEL_START,
    Residual,
    evidence,
    gaps,
    norm,
    partly_hidden,
    pooled,
    stem,
    whereabouts,
)
from stage2_classify.networks.library_encoders import LibraryFeatures
from stage2_classify.settings import NetworkSettings


class Vertebra3d(nn.Module):
    """An encoder of vertebrae; see `networks` for what comes in and goes out.

    A stem at half resolution and a residual stage for each further halving; the map at a quarter is joined with the
    coarser ones (Lin et al. 2017, feature pyramid) and carries the voxel logits. `settings.encoder` may name an
    encoder of a library that makes these maps instead. Beside CT and mask it is shown the
    thin gaps (`blocks.gaps`), which it would need many more fractures to learn to see.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.inputs, self.top_places = settings.inputs, settings.top_places
        first, *deeper = settings.channels
        self.library: LibraryFeatures | None = None
        if settings.encoder == "own":
            fine = (Residual(3, first, first, 1, settings.norm) for _ in range(settings.fine_blocks))
            self.stem = nn.Sequential(stem(3, 3, first, settings.norm), *fine)
            widths = zip(settings.channels, deeper)
            self.stages = nn.ModuleList(Residual(3, n, m, 2, settings.norm) for n, m in widths)
        else:
            self.library = LibraryFeatures(settings.encoder, 3, len(settings.channels))
            deeper = list(self.library.channels)
        width = settings.embedding
        self.lateral = nn.ModuleList(nn.Conv3d(channels, width, 1) for channels in deeper)
        self.joined = nn.Sequential(norm(3, width, settings.norm), nn.ReLU(inplace=True))
        self.local = nn.Conv3d(width, 1, 1)
        if self.local.bias is not None:
            nn.init.constant_(self.local.bias, VOXEL_START)
        self.embed = nn.Sequential(nn.Dropout(settings.dropout), nn.Linear(2 * width, settings.embedding), nn.ReLU())

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        images, seen = batch["images"], batch["mask_seen"][:, None, None, None]
        with torch.no_grad():
            where = torch.zeros_like(images[:, 1]) if self.inputs == "ct" else whereabouts(images[:, 1])
            ct = partly_hidden(images[:, 0], where, self.inputs)
            inputs = torch.stack([ct, where * seen, 3 * gaps(ct)], dim=1)
        features = self._features(inputs)
        size = features.shape[2:]
        near = (F.adaptive_max_pool3d(images[:, 1:], size) > 0.25).flatten(1)
        local = self.local(features).flatten(1).float()
        outputs = {
            "embedding": self.embed(pooled(features.flatten(2), near)).float(),
            "evidence": evidence(local, near, 0 if self.training else self.top_places),
            "voxel_logits": local,
            "vertebra_mask": near,
        }
        if "distance" in batch:
            outputs["distance"] = -F.adaptive_max_pool3d(-batch["distance"].unsqueeze(1).float(), size).flatten(1)
        return outputs

    def _features(self, x: Tensor) -> Tensor:
        """(N, 3, X, Y, Z) -> (N, width, X/4, Y/4, Z/4)."""
        joined = None
        maps = self._maps(x) if self.library is None else self.library(x)
        for lateral, found in zip(reversed(self.lateral), reversed(maps)):
            sideways = lateral(found)
            if joined is not None:
                sideways = sideways + F.interpolate(joined, size=sideways.shape[2:], mode="nearest")
            joined = sideways
        return self.joined(joined)

    def _maps(self, x: Tensor) -> list[Tensor]:
        """(N, 3, X, Y, Z) -> maps at 1/4, 1/8, ... of the resolution."""
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps
