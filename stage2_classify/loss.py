"""The competition's loss on the eight logits, and a loss on the local logits that uses the fracture boxes."""

import torch
from torch import Tensor
from torch.nn import functional as F

from stage2_classify.networks.blocks import log_mean_exp
from stage2_classify.settings import LossSettings


def row_weights(labels: Tensor) -> Tensor:
    """labels (B, 8) 0/1 -> (B, 8): the competition's weights (levels 1 and 2, patient 7 and 14; see
    `common.score.weights`), each row divided by its sum."""
    base = torch.ones(labels.shape[1], device=labels.device)
    base[-1] = 7.0
    weights = base * (1 + labels)
    return weights / weights.sum(dim=1, keepdim=True)


def competition_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """logits (B, 8), labels (B, 8) -> scalar: the competition's score of these answers."""
    losses = F.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="none")
    return (row_weights(labels.float()) * losses).sum(dim=1).mean()


def local_loss(answer: dict[str, Tensor], batch: dict[str, Tensor], settings: LossSettings) -> Tensor:
    """The mean over the vertebrae in view of what is known about their places.

    A healthy vertebra is healthy everywhere. In a fractured one of a study with boxes, places far from every box
    are healthy, and those inside are fractured on (log-) mean, since a box also holds sound bone. A fractured one
    without boxes is judged by the pooled evidence alone.
    """
    local, near, present = answer["local"], answer["near"], batch["present"]
    fractured = (batch["labels"][:, :7] > 0.5) & present
    sound = (present & ~fractured).unsqueeze(-1) & near
    boxed = torch.zeros_like(fractured)
    if "distance" in answer:
        distance = answer["distance"]
        boxed = fractured & batch["boxed"].unsqueeze(-1)
        sound = sound | (boxed.unsqueeze(-1) & near & (distance > settings.outside_mm))
        inside = near & (distance <= settings.inside_mm)
        boxed = boxed & inside.any(dim=-1)
    healthy = (F.softplus(local) * sound).sum(dim=-1) / sound.sum(dim=-1).clamp(min=1)
    total = healthy.sum()
    if boxed.any():
        total = total + F.softplus(-log_mean_exp(local[boxed], inside[boxed])).sum()
    return total / present.sum().clamp(min=1)
