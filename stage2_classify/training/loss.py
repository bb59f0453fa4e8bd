"""The competition's loss on the eight logits, and a loss on the voxel logits that uses the fracture boxes."""

import torch
from torch import Tensor
from torch.nn import functional as F

from stage2_classify.networks.blocks import log_mean_exp
from stage2_classify.settings import LossSettings


def row_weights(labels: Tensor) -> Tensor:
    """labels (B, 8) 0/1 -> (B, 8): the competition's weights (levels 1 and 2, patient 7 and 14; see
    `common.competition_metric.weights`), each row divided by its sum."""
    base = torch.ones(labels.shape[1], device=labels.device)
    base[-1] = 7.0
    weights = base * (1 + labels)
    return weights / weights.sum(dim=1, keepdim=True)


def smoothed(labels: Tensor, settings: LossSettings) -> Tensor:
    """Labels 0/1 of any shape -> the targets, of the same shape."""
    return labels.float() * (1 - settings.label_smoothing) + settings.label_smoothing / 2


def competition_loss(logits: Tensor, labels: Tensor, settings: LossSettings) -> Tensor:
    """logits (B, 8), labels (B, 8) -> scalar: the competition's score of these predictions, but for label smoothing."""
    losses = F.binary_cross_entropy_with_logits(logits.float(), smoothed(labels, settings), reduction="none")
    return (row_weights(labels.float()) * losses).sum(dim=1).mean()


def voxel_loss(outputs: dict[str, Tensor], fractured: Tensor, has_boxes: Tensor, settings: LossSettings) -> Tensor:
    """The mean over N vertebrae of what is known about their n places.

    outputs: `voxel_logits` (N, n), `vertebra_mask` (N, n) bool, `distance` (N, n) mm to the nearest box, if any are
    known; fractured (N,) bool; has_boxes (N,) bool: the vertebra's study has boxes.
    A healthy vertebra is healthy everywhere. In a fractured one with boxes, places far from every box are healthy, and
    those inside are fractured, the likeliest of them most of all, since a box also holds healthy bone. A fractured one
    without boxes is judged by the pooled evidence alone.
    """
    logits, mask = outputs["voxel_logits"], outputs["vertebra_mask"]
    healthy = mask & ~fractured.unsqueeze(-1)
    located = torch.zeros_like(fractured)
    if "distance" in outputs:
        distance = outputs["distance"]
        located = fractured & has_boxes
        healthy = healthy | (located.unsqueeze(-1) & mask & (distance > settings.outside_mm))
        inside = mask & (distance <= settings.inside_mm)
        located = located & inside.any(dim=-1)
    total = ((F.softplus(logits) * healthy).sum(dim=-1) / healthy.sum(dim=-1).clamp(min=1)).sum()
    if located.any():
        chosen, places = inside[located], logits[located]
        everywhere = (F.softplus(-places) * chosen).sum(dim=-1) / chosen.sum(dim=-1)
        somewhere = F.softplus(-log_mean_exp(places, chosen))
        total = total + (everywhere + somewhere).sum() / 2
    return total / max(len(logits), 1)
