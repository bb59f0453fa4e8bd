"""Where in each vertebra a network's prediction comes from, three ways."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from common.labels import LEVELS
from stage2_classify.crops.batch import as_batch
from stage2_classify.crops.cut import Crops, coarse_shape
from stage2_classify.predictor import Predictor

METHODS = ("voxel_logits", "gradcam", "hirescam")
"""voxel_logits: how far the network's own voxel logits rise above the vertebra's median. gradcam: feature maps weighted
by the mean slope of the level's logit (Selvaraju et al. 2017). hirescam: weighted place by place (Draelos & Carin
2020)."""
SHOWN = "voxel_logits"
"""The one that pictures show; docs/stage2_trials.md has how often each lies on a fracture."""


@dataclass(frozen=True, eq=False)
class Attention:
    """Of one study, on a grid `crops.COARSE` times coarser than the crops': `vertebra_mask` (7, X', Y', Z') bool, the
    cells in or beside each vertebra, none for a level that isn't in view; `maps`, method -> (7, X', Y', Z') float32,
    0..1 there."""

    vertebra_mask: np.ndarray
    maps: dict[str, np.ndarray]

    def peak(self, method: str, row: int) -> tuple[int, int, int]:
        """Cell of the largest value of a level (row 0 = C1)."""
        heat = self.maps[method][row]
        x, y, z = np.unravel_index(int(heat.argmax()), heat.shape)
        return int(x), int(y), int(z)

    def upsampled(self, method: str, row: int, shape: tuple[int, int, int]) -> np.ndarray:
        """The map of a level (X, Y, Z) float32 on the crop's own cells, interpolated."""
        heat = self.maps[method][row]
        return np.clip(ndimage.zoom(heat, np.divide(shape, heat.shape), order=1, grid_mode=True, mode="nearest"), 0, 1)


def attend(predictors: list[Predictor], crops: Crops) -> Attention:
    """The mean over networks of kind vertebra3d; ValueError for another kind."""
    each = [_of_one(predictor, crops) for predictor in predictors]
    maps = {method: np.mean([one.maps[method] for one in each], axis=0) for method in METHODS}
    return Attention(each[0].vertebra_mask, maps)


def _of_one(predictor: Predictor, crops: Crops) -> Attention:
    kind = predictor.settings.network.kind
    if kind != "vertebra3d":
        raise ValueError(f"network.kind is {kind}: only vertebra3d has a map of each vertebra")
    rows = np.flatnonzero(crops.present)
    if len(rows) == 0:
        nothing = np.zeros((len(LEVELS), *coarse_shape(crops.images.shape[2:])), np.float32)
        return Attention(nothing > 0, dict.fromkeys(METHODS, nothing))
    features, outputs = _forward(predictor, crops)
    size = features.shape[2:]
    mask = outputs["vertebra_mask"][0].reshape(len(LEVELS), *size).cpu()
    raw = {method: torch.zeros(len(LEVELS), *size) for method in METHODS}
    for place, row in enumerate(rows):
        (slope,) = torch.autograd.grad(outputs["logits"][0, row], features, retain_graph=True)
        maps, slope = features[place].detach().float().cpu(), slope[place].float().cpu()
        local = outputs["voxel_logits"][0, row].detach().reshape(size).cpu()
        raw["voxel_logits"][row] = local - local[mask[row]].median()
        raw["gradcam"][row] = (slope.mean(dim=(1, 2, 3), keepdim=True) * maps).sum(dim=0)
        raw["hirescam"][row] = (slope * maps).sum(dim=0)
    return Attention(mask.numpy(), {method: _scaled(heat, mask).numpy() for method, heat in raw.items()})


def _forward(predictor: Predictor, crops: Crops) -> tuple[Tensor, dict[str, Tensor]]:
    """The last feature maps (N, C, X', Y', Z') of the N vertebrae in view, and the prediction that depends on them."""
    kept: list[Tensor] = []

    def keep(module: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[0]

    network = predictor.network
    handle = network.get_submodule("encoder.joined").register_forward_hook(keep)
    try:
        batch = {name: value.to(predictor.device) for name, value in as_batch(crops).items()}
        # cuDNN's GRU has no slope in eval mode.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False), predictor.autocast():
            outputs = network(batch)
    finally:
        handle.remove()
    return kept[0], outputs


def _scaled(heat: Tensor, mask: Tensor) -> Tensor:
    """(7, X', Y', Z') -> the positive part within `mask`, its largest value 1 for each level. Where nothing is
    positive, what rises above the lowest, so that there is a peak."""
    within = (1, 2, 3)
    largest = torch.where(mask, heat, -torch.inf).amax(dim=within, keepdim=True)
    lowest = torch.where(mask, heat, torch.inf).amin(dim=within, keepdim=True)
    heat = torch.where(mask, heat - torch.where(largest > 0, 0, lowest), 0).clamp(min=0)
    return heat / heat.amax(dim=within, keepdim=True).clamp(min=1e-12)
