"""What else a scan shows: metal's streaks, uneven grey, a table, a head rest, a mask over the face."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

AIR_HU = -1000.0


def uneven_grey(scan: Tensor, rng: np.random.Generator) -> Tensor:
    """Beam hardening and a detector's drift: a smooth field of some tens of HU, and a change of scale."""
    field = torch.from_numpy(rng.normal(0, rng.exponential(10), (1, 1, 4, 4, 4)).astype(np.float32))
    field = functional.interpolate(field, size=scan.shape, mode="trilinear", align_corners=True)[0, 0]
    return (scan + 1000) * float(rng.normal(1, 0.02)) - 1000 + field


def metal_streaks(scan: Tensor, teeth: Tensor | None, mm: list[float], rng: np.random.Generator) -> Tensor:
    """Bright and dark rays from a filling or a screw, over a few slices. `teeth` (N, 3): voxels of teeth, or None:
    then from anywhere."""
    middle = np.array(scan.shape) * rng.uniform(0.2, 0.8, 3)
    if teeth is not None and len(teeth):
        middle = teeth[int(rng.integers(len(teeth)))].numpy()
    x, y = (torch.arange(n) - c for n, c in zip(scan.shape[:2], middle))
    x, y = x[:, None] * mm[0], y[None] * mm[1]
    distance = (x**2 + y**2).sqrt()
    angle = torch.atan2(y, x)
    rays = torch.zeros_like(distance)
    for _ in range(int(rng.integers(4, 12))):
        sharp = rng.uniform(4, 40)
        rays += float(rng.normal()) * torch.exp(sharp * (torch.cos(2 * (angle - float(rng.uniform(0, np.pi)))) - 1))
    rays = rays * float(np.exp(rng.uniform(4, 7))) * torch.exp(-distance / float(rng.uniform(20, 60)))
    z = (torch.arange(scan.shape[2]) - middle[2]) * mm[2]
    along = torch.exp(-0.5 * (z / rng.uniform(2, 8)) ** 2)
    scan = scan + rays[..., None] * along * (scan > -400)
    blob = distance[..., None] ** 2 + z**2 < rng.uniform(1, 4) ** 2
    return torch.where(blob, torch.tensor(float(rng.uniform(2000, 3071))), scan)


def add_furniture(scan: Tensor, mm: list[float], rng: np.random.Generator) -> Tensor:
    """A curved or flat shell behind the patient, and now and then a thin mask close about the skin."""
    body = scan > -400
    if rng.random() < 0.5:
        columns = torch.where(body.any(dim=0).any(dim=1))[0]
        if len(columns):
            back = int(columns[0]) * mm[1] - rng.uniform(2, 15)
            x = (torch.arange(scan.shape[0]) - scan.shape[0] / 2) * mm[0]
            depth = torch.arange(scan.shape[1])[None] * mm[1] - back - (x[:, None] ** 2) * float(rng.uniform(0, 0.004))
            thick = rng.uniform(3, 25)
            shell = (depth < 0) & (depth > -thick)
            skin = shell & ((depth > -mm[1]) | (depth < mm[1] - thick))
            hu = torch.full(scan.shape[:2], AIR_HU)
            hu[shell], hu[skin] = float(rng.uniform(-980, -700)), float(rng.uniform(-800, 200))
            scan = torch.where(body, scan, torch.maximum(scan, hu[..., None]))
    if rng.random() < 0.3:
        near = functional.max_pool3d(body[None].float(), 3, 1, 1)[0] > 0
        scan = torch.where(near & ~body, torch.clamp(scan + float(rng.uniform(100, 900)), max=150.0), scan)
    return scan
