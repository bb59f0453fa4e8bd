"""What else a scan shows: metal's streaks, uneven grey, a table, a head rest, a mask over the face."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stage1_segment.training.synthetic.batch import picked, stacked, those, to_device
from stage1_segment.training.synthetic.interpolate import along_axes, between
from stage1_segment.training.synthetic.scanner import ScanAxis

AIR_HU = -1000.0
BODY_HU = -400.0
"""Less is air, a table, a mask."""
RAYS = 11
"""At most."""


@dataclass(frozen=True, eq=False)
class Grey:
    """Beam hardening and a detector's drift: `field` (4, 4, 4) HU at points evenly over the window, `scale` of all."""

    field: np.ndarray
    scale: float


@dataclass(frozen=True)
class Shell:
    """A table or a head rest, `gap_mm` behind the patient, `curve` / mm, of a plastic `skin_hu` with foam within."""

    gap_mm: float
    curve: float
    thick_mm: float
    foam_hu: float
    skin_hu: float


@dataclass(frozen=True, eq=False)
class Metal:
    """A filling or a screw: in a tooth (`in_teeth`, the one that `seed` picks) or at `place` (3,) 0..1 of the scan; its
    rays (RAYS,) with their directions, sharpness and brightness; where it and its streaks end, mm; its HU."""

    in_teeth: bool
    seed: int
    place: np.ndarray
    way: np.ndarray
    sharp: np.ndarray
    bright: np.ndarray
    fade_mm: float
    slab_mm: float
    blob_mm: float
    blob_hu: float


def draw_grey(rng: np.random.Generator) -> Grey:
    return Grey(rng.normal(0, rng.exponential(10), (4, 4, 4)), float(rng.normal(1, 0.02)))


def draw_shell(rng: np.random.Generator) -> Shell | None:
    """In a quarter of the scans."""
    if rng.random() > 0.25:
        return None
    return Shell(
        gap_mm=rng.uniform(2, 15),
        curve=rng.uniform(0, 0.004),
        thick_mm=rng.uniform(3, 25),
        foam_hu=rng.uniform(-980, -700),
        skin_hu=rng.uniform(-800, 200),
    )


def draw_mask_hu(rng: np.random.Generator) -> float | None:
    """How much denser than air a thin mask close about the skin is, where there is one."""
    return rng.uniform(100, 900) if rng.random() < 0.15 else None


def draw_metal(rng: np.random.Generator) -> Metal | None:
    """In a quarter of the scans."""
    if rng.random() > 0.25:
        return None
    seen = np.arange(RAYS) < rng.integers(4, RAYS + 1)
    return Metal(
        in_teeth=rng.random() < 0.8,
        seed=int(rng.integers(2**31)),
        place=rng.uniform(0.2, 0.8, 3),
        way=rng.uniform(0, np.pi, RAYS),
        sharp=rng.uniform(4, 40, RAYS),
        bright=rng.normal(0, 1, RAYS) * seen * np.exp(rng.uniform(4, 7)),
        fade_mm=rng.uniform(20, 60),
        slab_mm=rng.uniform(2, 8),
        blob_mm=rng.uniform(1, 4),
        blob_hu=rng.uniform(2000, 3071),
    )


def uneven_grey(scans: Tensor, greys: Sequence[Grey], axes: Sequence[ScanAxis], lengths: Sequence[float]) -> Tensor:
    """(B, X, Y, Z) HU with a smooth field of some tens of HU, and a change of scale. `lengths` mm of the window."""
    middles = [axis.middles.clamp(0, length)[..., None] / length for axis, length in zip(axes, lengths)]
    field = along_axes(stacked(greys, "field", scans), [between(3 * place, 4) for place in middles])
    return (scans - AIR_HU) * stacked(greys, "scale", scans, 3) + AIR_HU + field


def add_shells(scans: Tensor, shells: Sequence[Shell | None], axes: Sequence[ScanAxis]) -> Tensor:
    """(B, X, Y, Z) HU, in place, with what lies behind the patients of those that have a shell."""
    chosen = those([of_scan is not None for of_scan in shells])
    if not chosen:
        return scans
    part = picked(scans, chosen)
    gap, curve, thick, foam, skin = (
        stacked([shells[k] for k in chosen], name, scans, 2)
        for name in ("gap_mm", "curve", "thick_mm", "foam_hu", "skin_hu")
    )
    mm = [picked(axis.distance, chosen)[:, None, None] for axis in axes]
    half = to_device([axes[0].counts[k] / 2 for k in chosen], scans, 2).float()
    body = part > BODY_HU
    rows = body.any(dim=3).any(dim=1)  # (B, Y)
    back = rows.int().argmax(dim=1)[:, None, None] * mm[1] - gap
    x, y = (torch.arange(n, device=scans.device) for n in part.shape[1:3])
    depth = y * mm[1] - back - ((x[:, None] - half) * mm[0]) ** 2 * curve
    shell = (depth < 0) & (depth > -thick) & rows.any(dim=1)[:, None, None]
    outside = (depth > -mm[1]) | (depth < mm[1] - thick)
    hu = torch.where(shell, torch.where(outside, skin, foam), AIR_HU)
    scans[to_device(chosen, scans)] = torch.where(body, part, torch.maximum(part, hu[..., None]))
    return scans


def add_masks(scans: Tensor, masks_hu: Sequence[float | None]) -> Tensor:
    """(B, X, Y, Z) HU, in place, with a thin mask about the skin of those that wear one."""
    chosen = those([of_scan is not None for of_scan in masks_hu])
    if not chosen:
        return scans
    part = picked(scans, chosen)
    denser = to_device([masks_hu[k] for k in chosen], scans, 3).float()
    body = part > BODY_HU
    near = functional.max_pool3d(body[:, None].float(), 3, 1, 1)[:, 0] > 0
    scans[to_device(chosen, scans)] = torch.where(near & ~body, (part + denser).clamp(max=150.0), part)
    return scans


def add_metal(
    scans: Tensor, metals: Sequence[Metal | None], teeth: Tensor, voxel_mm: float, axes: Sequence[ScanAxis]
) -> Tensor:
    """(B, X, Y, Z) HU, in place, with bright and dark rays over a few slices about metal. `teeth` (B, x, y, z) bool, on
    a grid of `voxel_mm` that begins where the scans do."""
    chosen = those([of_scan is not None for of_scan in metals])
    if not chosen:
        return scans
    part, with_metal = picked(scans, chosen), [metal for metal in metals if metal is not None]
    mm = torch.stack([picked(axis.distance, chosen) for axis in axes])
    counts = to_device([[axis.counts[k] for k in chosen] for axis in axes], scans)
    anywhere = counts * mm * stacked(with_metal, "place", scans).T
    middle = _in_teeth(picked(teeth, chosen), with_metal, anywhere / voxel_mm) * voxel_mm
    x, y, z = (
        torch.arange(n, device=scans.device) * step[:, None] - place[:, None]
        for n, step, place in zip(part.shape[1:], mm, middle)
    )
    x, y = x[:, :, None], y[:, None]
    distance = (x**2 + y**2).sqrt()
    angle = torch.atan2(y, x)[:, None]
    way, sharp, bright = (stacked(with_metal, name, scans, 2) for name in ("way", "sharp", "bright"))
    fade, slab, blob_mm = (stacked(with_metal, name, scans, 2) for name in ("fade_mm", "slab_mm", "blob_mm"))
    rays = (bright * torch.exp(sharp * (torch.cos(2 * (angle - way)) - 1))).sum(dim=1) * torch.exp(-distance / fade)
    z = z[:, None, None]
    part = part + rays[..., None] * torch.exp(-0.5 * (z / slab[..., None]) ** 2) * (part > BODY_HU)
    blob = distance[..., None] ** 2 + z**2 < blob_mm[..., None] ** 2
    scans[to_device(chosen, scans)] = torch.where(blob, stacked(with_metal, "blob_hu", scans, 3), part)
    return scans


def _in_teeth(teeth: Tensor, metals: Sequence[Metal], elsewhere: Tensor) -> Tensor:
    """(3, B) voxels of the teeth's grid: one of the teeth's, or `elsewhere` (3, B) where there is none or the metal
    isn't in them."""
    flat = teeth.flatten(1)
    for order, metal in zip(keys := torch.empty(flat.shape, device=teeth.device), metals):
        order.uniform_(1, 2, generator=torch.Generator(teeth.device).manual_seed(metal.seed))
    found = torch.stack(torch.unravel_index((keys * flat).argmax(dim=1), teeth.shape[1:])).float()
    wanted = to_device([metal.in_teeth for metal in metals], teeth)
    return torch.where(flat.any(dim=1) & wanted, found, elsewhere)
