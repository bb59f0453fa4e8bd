"""A synthetic scan of a subject, seen through a window: what the network gets, and what it should answer."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from common.labels import THORACIC
from common.phantom import tissues
from stage1_segment.augment import faulty_hint
from stage1_segment.settings import SegmentSettings
from stage1_segment.synthetic.artefacts import AIR_HU, add_furniture, metal_streaks, uneven_grey
from stage1_segment.synthetic.contrast import Contrast, draw_contrast
from stage1_segment.synthetic.lookup import FINER, look_up, spread
from stage1_segment.synthetic.no_patient import without_patient
from stage1_segment.synthetic.placement import Placement, place
from stage1_segment.synthetic.scanner import add_noise, along_axes, draw_scanner, scan_axis, window_axis
from stage1_segment.synthetic.subject import Subject, level_table
from stage1_segment.synthetic.tables import values_at
from stage1_segment.synthetic.trunk import draw_trunk
from stage1_segment.synthetic.wear import draw_wear
from stage1_segment.window import scaled

LEVEL_OF = torch.from_numpy(level_table())
SPINE_ALONE = 0.25
"""Part of the first pass' samples that show little but the spine."""
ALONE_MM = (12.0, 50.0)
"""How far about the vertebrae these show anything."""


@dataclass(frozen=True, eq=False)
class SyntheticScan:
    """`hu` (X, Y, Z) float32, `mask` (X, Y, Z) uint8 of `labels.CLASS_NAMES`."""

    hu: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True, eq=False)
class BankSamples:
    """Training samples from a bank's subjects."""

    subjects: list[Subject]
    settings: SegmentSettings

    def sample(self, draw: int) -> tuple[np.ndarray, np.ndarray]:
        """Sample number `draw`: image (2, X, Y, Z) float32 (CT in 0..1, hint), mask (X, Y, Z) int64. A pure function of
        the seed and the number; samples of one batch are of the same pass, so that their windows are of one size."""
        patch, bank, seed = self.settings.patch, self.settings.bank, self.settings.train.seed
        coarse = np.random.default_rng([seed, draw // self.settings.train.batch, 1]).random() < patch.coarse_share
        rng = np.random.default_rng([seed, draw, 0])
        window, voxel_mm = patch.window(coarse), patch.coarse_mm if coarse else patch.fine_mm
        subject = self.subjects[rng.integers(len(self.subjects))]
        part = str(rng.choice(["chest", "head", "nothing"])) if rng.random() < bank.no_neck else "neck"
        if part == "nothing":
            scan = SyntheticScan(without_patient(window, rng), np.zeros(window, np.uint8))
        else:
            placement = place(subject, np.array(window) * voxel_mm, coarse, bank, rng, part)
            scan = synthetic_scan(subject, placement, window, voxel_mm, bank.bend_mm, rng, part)
        if coarse and rng.random() < SPINE_ALONE:
            scan = spine_alone(scan, voxel_mm, rng)
        ct, mask = scaled(scan.hu, patch), scan.mask
        if coarse:
            return np.stack([ct, np.zeros_like(ct)]), mask.astype(np.int64)
        ct = _only_the_spine(ct, mask, self.settings.predict.margin_mm / voxel_mm, rng)
        hint = faulty_hint(mask, patch.coarse_mm / patch.fine_mm, self.settings.augment, rng)
        return np.stack([ct, hint]), mask.astype(np.int64)


def synthetic_scan(
    subject: Subject,
    placement: Placement,
    window: tuple[int, int, int],
    voxel_mm: float,
    bend_mm: float,
    rng: np.random.Generator,
    part: str = "neck",
) -> SyntheticScan:
    """A scan with contrast and scanner drawn from `rng`, as the window shows it; air outside of the scan. With `part`
    chest or head it ends where a cervical vertebra would come into view."""
    wear, trunk = torch.from_numpy(draw_wear(rng)), draw_trunk(subject, rng)
    codes = look_up(subject, placement, window, voxel_mm, bend_mm, rng, trunk)
    codes = values_at(wear, codes.int())
    levels = values_at(LEVEL_OF, codes.int())
    inside = _field_of_view(placement, window, voxel_mm)
    if part != "neck":
        inside &= _without_cervical(levels, part)
    contrast = draw_contrast(rng)
    if part == "chest" and rng.random() < 0.3:  # as if of the lumbar spine
        contrast.hu[[tissues.LUNG, tissues.RIB_CORTEX, tissues.RIB_SPONGY]] = contrast.hu[tissues.MUSCLE]
    hu = _scanned(codes, contrast, window, voxel_mm, rng)
    hu = torch.where(inside, hu.clamp(-1024, 3071), torch.tensor(AIR_HU))
    return SyntheticScan(hu.numpy(), (window_levels(levels) * inside).numpy())


def densities(codes: Tensor, contrast: Contrast, cell_mm: float, rng: np.random.Generator) -> Tensor:
    """HU float32 of each cell; tissues uneven at two scales, a few millimetres and some centimetres."""
    codes = codes.int()
    hu, grain = values_at(torch.from_numpy(contrast.hu), codes), values_at(torch.from_numpy(contrast.grain), codes)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    for scale_mm, share in ((rng.uniform(2.5, 5), 0.8), (rng.uniform(12, 30), 0.6)):
        knots = [max(round(n * cell_mm / scale_mm), 1) + 3 for n in codes.shape]
        # A spline through independent knots keeps about a third of their variance in three dimensions.
        field = spread(torch.randn((1, *knots), generator=generator), list(codes.shape), smooth=True)[0]
        hu = hu + grain * (field * (2.2 * share))
    return hu


def window_levels(levels: Tensor) -> Tensor:
    """(FINER * X, ...) level of each cell -> (X, Y, Z) uint8: bone where at least half of a voxel is, of the level that
    most of it has."""
    numbers = levels[None].float()
    bone = functional.avg_pool3d((numbers > 0).float(), FINER)[0]
    mean = functional.avg_pool3d(numbers, FINER)[0] / bone.clamp(min=1e-6)
    return torch.where(bone >= 0.5, mean.round(), torch.zeros(())).to(torch.uint8)


def _scanned(codes, contrast, window, voxel_mm, rng) -> Tensor:
    """HU (X, Y, Z) of the window."""
    cell_mm = voxel_mm / FINER
    scanner = draw_scanner(rng)
    axes = [scan_axis(n, cell_mm, scanner, axis, rng.random()) for axis, n in enumerate(codes.shape)]
    mm = [distance for _, _, distance in axes]
    scan = along_axes(densities(codes, contrast, cell_mm, rng), [weights for weights, _, _ in axes])
    if rng.random() < 0.5:
        scan = add_furniture(scan, mm, rng)
    scan = uneven_grey(scan, rng)
    if rng.random() < 0.25:
        teeth = torch.nonzero(codes[::FINER, ::FINER, ::FINER] == tissues.TEETH) * voxel_mm / torch.tensor(mm)
        scan = metal_streaks(scan, teeth if rng.random() < 0.8 else None, mm, rng)
    scan = add_noise(scan, scanner, mm, rng)
    return along_axes(
        scan, [window_axis(n, voxel_mm, middles, distance) for n, (_, middles, distance) in zip(window, axes)]
    )


def _field_of_view(placement: Placement, window: tuple[int, int, int], voxel_mm: float) -> Tensor:
    """(X, Y, Z) bool: what the scan covers."""
    mm = [(torch.arange(n) - (n - 1) / 2) * voxel_mm for n in window]
    x, y, z = ((m > low) & (m < high) for m, low, high in zip(mm, placement.low, placement.high))
    across, along = mm[0] - placement.axis[0], mm[1] - placement.axis[1]
    circle = across[:, None] ** 2 + along[None] ** 2 < placement.radius**2
    return (x[:, None] & y[None] & circle)[..., None] & z


def spine_alone(scan: SyntheticScan, voxel_mm: float, rng: np.random.Generator) -> SyntheticScan:
    """The scan with air or soft tissue in place of all that isn't near a vertebra: where ribs and lungs stand isn't
    what levels should be told by, in a bent back least of all."""
    if not scan.mask.any():
        return scan
    near = ndimage.distance_transform_edt(scan.mask == 0, sampling=voxel_mm) <= rng.uniform(*ALONE_MM)
    hu = np.where(near, scan.hu, AIR_HU if rng.random() < 0.5 else rng.uniform(0, 80)).astype(np.float32)
    return SyntheticScan(hu, scan.mask)


def _without_cervical(levels: Tensor, part: str) -> Tensor:
    """(Z,) bool: the slices of the window below (chest) or above (head) those with a cervical vertebra."""
    cells = ((levels > 0) & (levels < THORACIC)).any(dim=0).any(dim=0)
    slices = cells.view(-1, FINER).any(dim=1)
    free = torch.ones_like(slices)
    found = torch.where(slices)[0]
    if len(found):
        free[int(found[0]) :] = part == "head"
        free[: int(found[-1]) + 1] &= part == "chest"
    return free


def _only_the_spine(ct: np.ndarray, mask: np.ndarray, margin: float, rng: np.random.Generator) -> np.ndarray:
    """Blanks what the second pass doesn't get to see: all that is further from the spine's box than the margin."""
    if not mask.any() or rng.random() < 0.2:
        return ct
    kept = np.zeros_like(ct)
    around = []
    for axis in range(3):
        found = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        spare = margin + rng.uniform(-2, 4, 2)
        around.append(slice(max(int(found[0] - spare[0]), 0), int(found[-1] + spare[1]) + 1))
    kept[tuple(around)] = ct[tuple(around)]
    return kept
