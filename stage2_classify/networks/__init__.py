"""The networks that stage 2 can be built with, chosen by `network.kind`.

A network takes a batch of studies as a dictionary and returns one:
in: `images` (B, L, 2, X, Y, Z) float 0..1, `present` (B, 7) bool, `mask_seen` (B, L) float (0 hides a mask channel),
    optionally `distance` (B, L, X', Y', Z') mm to the nearest fracture box;
out: `logits` (B, 8); and, but for the naive network, `voxel_logits` (B, 7, n) of n places in each vertebra,
    `vertebra_mask` (B, 7, n) bool: the place lies in or beside the vertebra, and `distance` (B, 7, n) when the batch
    has it.
An encoder does the same for N vertebrae without the axis of levels: `images` (N, 2, X, Y, Z), `mask_seen` (N,),
`distance` (N, X', Y', Z') -> `embedding` (N, E), `evidence` (N,): log of how much likelier the image is when
fractured, and `voxel_logits`, `vertebra_mask`, `distance` (N, n).
"""

import torch
from torch import nn

from stage2_classify.settings import NetworkSettings


def build_encoder(settings: NetworkSettings, seed: int = 0) -> nn.Module:
    """The encoder of vertebrae of `settings.kind` (vertebra3d or slices25d), its weights drawn from `seed`."""
    from stage2_classify.networks.slices25d import Slices25d
    from stage2_classify.networks.vertebra3d import Vertebra3d

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return {"vertebra3d": Vertebra3d, "slices25d": Slices25d}[settings.kind](settings)


def build(settings: NetworkSettings, prior: torch.Tensor | None = None, seed: int = 0) -> nn.Module:
    """The network of `settings.kind`, its weights drawn from `seed`.

    `prior` (8,): probabilities that a network knowing nothing should predict; also the prediction for a level that
    isn't in view. It becomes part of the weights.
    """
    from stage2_classify.networks.model import Neck
    from stage2_classify.networks.naive import Naive
    from stage2_classify.networks.sequence import SequenceHead

    prior = torch.full((8,), 0.5) if prior is None else torch.as_tensor(prior, dtype=torch.float32)
    encoder = None if settings.kind == "naive" else build_encoder(settings, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Naive(settings, prior) if encoder is None else Neck(encoder, SequenceHead(settings, prior))
