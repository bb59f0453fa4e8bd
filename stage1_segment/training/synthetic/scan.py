"""Synthetic scans of subjects, as windows show them: what chance decides about each, then a batch of them made at once,
on a CPU or a GPU."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from common.labels import THORACIC
from common.phantom import tissues
from stage1_segment.scanner_ranges import VALUES_HU
from stage1_segment.settings import SyntheticSettings
from stage1_segment.training.synthetic.artefacts import (
    AIR_HU,
    Grey,
    Metal,
    Shell,
    add_masks,
    add_metal,
    add_shells,
    draw_grey,
    draw_mask_hu,
    draw_metal,
    draw_shell,
    uneven_grey,
)
from stage1_segment.training.synthetic.batch import each_values_at, stacked, to_device
from stage1_segment.training.synthetic.contrast import Contrast, draw_contrast
from stage1_segment.training.synthetic.interpolate import along_axes, random_fields, smooth_weights
from stage1_segment.training.synthetic.placement import Placement
from stage1_segment.training.synthetic.scanner import Scanner, add_noise, draw_scanner, scan_axis, window_axis
from stage1_segment.training.synthetic.subject import Subject, level_table
from stage1_segment.training.synthetic.tissue_lookup import FINER, Rays, draw_rays, look_up
from stage1_segment.training.synthetic.trunk import draw_trunk
from stage1_segment.training.synthetic.worn_discs import draw_disc_wear

UNEVEN = (1.76, 1.32)
"""Share of tissues' unevenness at each scale. A spline through independent knots keeps about a third of their variance
in three dimensions."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """What chance decides about one scan of a subject. `levels` (256,) uint8: tissue code -> mask value; `part`: neck,
    or chest or head, which end where a cervical vertebra would come into view."""

    placement: Placement
    part: str
    rays: Rays
    levels: np.ndarray
    contrast: Contrast
    scanner: Scanner
    grey: Grey
    shell: Shell | None
    mask_hu: float | None
    metal: Metal | None


def draw_recipe(
    subject: Subject,
    placement: Placement,
    window: tuple[int, int, int],
    voxel_mm: float,
    settings: SyntheticSettings,
    rng: np.random.Generator,
    part: str = "neck",
    wear: np.ndarray | None = None,
) -> Recipe:
    """Of a window of (X, Y, Z) voxels. `wear`: as `draw_disc_wear` gives it; None: drawn."""
    wear, contrast = draw_disc_wear(rng) if wear is None else wear, draw_contrast(rng)
    if part == "chest" and rng.random() < 0.3:  # as if of the lumbar spine
        contrast.hu[[tissues.LUNG, tissues.RIB_CORTEX, tissues.RIB_SPONGY]] = contrast.hu[tissues.MUSCLE]
    return Recipe(
        placement=placement,
        part=part,
        rays=draw_rays(subject, placement, window, voxel_mm, settings.elastic_mm, rng, draw_trunk(subject, rng)),
        levels=level_table()[wear],
        contrast=contrast.through(wear, settings.texture),
        scanner=draw_scanner(rng),
        grey=draw_grey(rng),
        shell=draw_shell(rng),
        mask_hu=draw_mask_hu(rng),
        metal=draw_metal(rng),
    )


def make_scans(
    subjects: Sequence[Subject],
    recipes: Sequence[Recipe],
    window: tuple[int, int, int],
    voxel_mm: float,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """HU (B, X, Y, Z) float32, air outside of the scans, and masks (B, X, Y, Z) uint8 of `labels.CLASS_NAMES`."""
    codes = look_up(subjects, [recipe.rays for recipe in recipes], window, device)
    levels = each_values_at([recipe.levels for recipe in recipes], codes.int())
    inside = field_of_view([recipe.placement for recipe in recipes], window, voxel_mm, device)
    inside &= _in_part(levels, [recipe.part for recipe in recipes])
    hu = _scanned(codes, recipes, window, voxel_mm)
    hu = torch.where(inside, hu.clamp(*VALUES_HU), AIR_HU)
    return hu, window_levels(levels) * inside


def densities(codes: Tensor, contrasts: Sequence[Contrast], cell_mm: float) -> Tensor:
    """HU (B, X, Y, Z) float32 of cells with tissue codes uint8, uneven at two scales."""
    codes = codes.int()
    hu, grain = (each_values_at([getattr(of, name) for of in contrasts], codes) for name in ("hu", "grain"))
    sizes = codes.shape[1:]
    for scale, share in enumerate(UNEVEN):
        knots = [tuple(max(round(n * cell_mm / of.uneven_mm[scale]), 1) + 3 for n in sizes) for of in contrasts]
        generators = [torch.Generator(codes.device).manual_seed(of.seed + scale) for of in contrasts]
        weights = [smooth_weights(counts, n, codes.device) for counts, n in zip(zip(*knots), sizes)]
        field = along_axes(random_fields(knots, generators) * share, weights)
        hu = hu.addcmul_(grain, field)
    return hu


def window_levels(levels: Tensor) -> Tensor:
    """(B, FINER * X, ...) level of each cell -> (B, X, Y, Z) uint8: bone where at least half of a voxel is, of the
    level that most of it has."""
    numbers = levels.float()
    bone = functional.avg_pool3d((numbers > 0).float(), FINER)
    mean = functional.avg_pool3d(numbers, FINER) / bone.clamp(min=1e-6)
    return torch.where(bone >= 0.5, mean.round(), 0.0).to(torch.uint8)


def field_of_view(
    placements: Sequence[Placement], window: tuple[int, int, int], voxel_mm: float, device: torch.device
) -> Tensor:
    """(B, X, Y, Z) bool: what the scans cover."""
    mm = [(torch.arange(n, device=device) - (n - 1) / 2) * voxel_mm for n in window]
    low, high, middle = (stacked(placements, name, device) for name in ("low", "high", "axis"))
    x, y, z = ((m > low[:, axis, None]) & (m < high[:, axis, None]) for axis, m in enumerate(mm))
    across, along = mm[0] - middle[:, 0, None], mm[1] - middle[:, 1, None]
    circle = across[:, :, None] ** 2 + along[:, None] ** 2 < stacked(placements, "radius", device, 2) ** 2
    return (x[:, :, None] & y[:, None] & circle)[..., None] & z[:, None, None]


def _in_part(levels: Tensor, parts: Sequence[str]) -> Tensor:
    """(B, 1, 1, Z) bool: the slices of the windows below (chest) or above (head) those with a cervical vertebra; all
    of them for a neck."""
    cells = ((levels > 0) & (levels < THORACIC)).any(dim=1).any(dim=1)
    cervical = cells.view(len(parts), -1, FINER).any(dim=2).int()
    seen_below = cervical.cummax(dim=1).values.bool()
    seen_above = cervical.flip(1).cummax(dim=1).values.flip(1).bool()
    chest, head = (to_device([part == name for part in parts], levels, 1) for name in ("chest", "head"))
    return ~((seen_below & chest) | (seen_above & head))[:, None, None]


def _scanned(codes: Tensor, recipes: Sequence[Recipe], window: tuple[int, int, int], voxel_mm: float) -> Tensor:
    """HU (B, X, Y, Z) of the windows."""
    scanners = [recipe.scanner for recipe in recipes]
    cell_mm = voxel_mm / FINER
    axes = [scan_axis(scanners, axis, n, cell_mm, codes.device) for axis, n in enumerate(codes.shape[1:])]
    hu = densities(codes, [recipe.contrast for recipe in recipes], cell_mm)
    # Above air, so that a voxel which a scan hasn't got is air.
    scans = along_axes(hu.sub_(AIR_HU), [axis.weights for axis in axes]).add_(AIR_HU)
    scans = add_masks(scans, [recipe.mask_hu for recipe in recipes])
    scans = add_shells(scans, [recipe.shell for recipe in recipes], axes)
    scans = uneven_grey(scans, [recipe.grey for recipe in recipes], axes, [n * voxel_mm for n in window])
    teeth = codes[:, ::FINER, ::FINER, ::FINER] == tissues.TEETH
    scans = add_metal(scans, [recipe.metal for recipe in recipes], teeth, voxel_mm, axes)
    scans = add_noise(scans, scanners, axes)
    return along_axes(scans, [window_axis(n, voxel_mm, axis) for n, axis in zip(window, axes)])
