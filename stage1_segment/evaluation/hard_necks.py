"""Necks made hard to count in: fused and worn spines, rare numbers of vertebrae, coarse voxels, partial views.

Drawn subjects of `common.phantom.bank`, changed by its `variants`, as scans of stage 1's own synthetic scanner."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from common.labels import THORACIC
from common.phantom.bank import variants
from common.phantom.bank.analytic_subject import make_analytic
from common.phantom.tissues import CORTEX, LEVEL_CODES
from common.volume import Grid, Volume
from stage1_segment.settings import SyntheticSettings
from stage1_segment.training.synthetic.contrast import Contrast
from stage1_segment.training.synthetic.placement import Placement, place
from stage1_segment.training.synthetic.scan import draw_recipe, make_scans
from stage1_segment.training.synthetic.scanner import Scanner
from stage1_segment.training.synthetic.subject import Subject
from stage1_segment.training.synthetic.worn_discs import (
    draw_blocks,
    draw_disc_wear,
    draw_severe_wear,
    with_disc_parts,
)

VOXEL_MM = 2.5
WINDOW = (64, 64, 104)
KINDS = {
    "usual": 0.20, "block": 0.25, "worn": 0.25, "six": 0.06, "eight": 0.06, "cervical ribs": 0.06,
    "assimilated atlas": 0.06, "bent": 0.06,
}  # fmt: skip
"""Part of the necks. Six and eight: cervical vertebrae."""
COARSE, COARSE_MM = 0.7, (3.0, 5.0)
"""Part of the scans whose voxels are that large."""
SPONGY_HU, CORTEX_HU = (80.0, 400.0), (450.0, 900.0)
"""Of the spongy bone, and how much denser the cortex is at least."""
VIEWS = SyntheticSettings(cropped_neck=0.25, scale=(0.85, 1.2), elastic_mm=2.0, field_of_view_mm=(130.0, 550.0))
PER_SUBJECT = 8
"""Necks made of one subject: drawing one takes longer than scanning it."""


@dataclass(frozen=True, eq=False)
class HardNeck:
    """`ct` HU and `truth` (values of `labels.CLASS_NAMES`) on one grid; `kind`: a key of `KINDS`."""

    kind: str
    ct: Volume
    truth: Volume


def draw_subject(seed: int, number: int) -> Volume:
    """The label map that necks `number` * PER_SUBJECT and the next ones are made of."""
    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    return make_analytic(own)[0]


def make_neck(subject: Volume, seed: int, number: int) -> HardNeck:
    """Neck `number`, a pure function of its arguments."""
    rng = np.random.default_rng([seed, number, 22])
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    changed = _changed(subject, kind, rng)
    bank = Subject(kind, with_disc_parts(np.ascontiguousarray(changed.array), changed.affine), changed.affine)
    views = VIEWS.model_copy(update={"rotate_deg": (36.0, 16.0, 18.0)}) if kind == "bent" else VIEWS
    placement = _about_the_neck(bank, place(bank, np.array(WINDOW) * VOXEL_MM, True, views, rng))
    wear = _wear(kind, rng)
    recipe = draw_recipe(bank, placement, WINDOW, VOXEL_MM, views, rng, wear=wear)
    recipe = replace(recipe, contrast=_with_cortex(recipe.contrast, wear, rng))
    if rng.random() < COARSE:
        recipe = replace(recipe, scanner=_coarse(recipe.scanner, rng))
    if kind == "six":  # the seventh bears the first ribs
        seventh = np.isin(recipe.levels, LEVEL_CODES["C7"])
        recipe = replace(recipe, levels=np.where(seventh, THORACIC, recipe.levels).astype(np.uint8))
    hu, masks = make_scans([bank], [recipe], WINDOW, VOXEL_MM, torch.device("cpu"))
    affine = Grid.around(np.zeros(3), np.array(WINDOW) * VOXEL_MM, VOXEL_MM).affine
    return HardNeck(kind, *(Volume(part[0].numpy(), affine) for part in (hu.short(), masks)))


def _changed(subject: Volume, kind: str, rng: np.random.Generator) -> Volume:
    level = str(rng.choice(["C3", "C4", "C5", "C6"]))
    if kind == "six":
        return variants.without(subject, level)
    if kind == "eight":
        return variants.doubled(subject, level)
    if kind == "cervical ribs":
        return variants.with_cervical_ribs(subject)
    return variants.with_assimilated_atlas(subject) if kind == "assimilated atlas" else subject


def _wear(kind: str, rng: np.random.Generator) -> np.ndarray:
    draw = {"worn": draw_severe_wear, "block": draw_blocks}.get(kind, draw_disc_wear)
    return draw(rng)


def _coarse(scanner: Scanner, rng: np.random.Generator) -> Scanner:
    """With voxels as of a scan for planning a radiotherapy."""
    in_plane, slices = rng.uniform(*COARSE_MM), rng.uniform(2.5, COARSE_MM[1])
    return replace(
        scanner, voxel=np.array([in_plane, in_plane, slices]), thickness=np.array([in_plane, in_plane, slices])
    )


def _with_cortex(contrast: Contrast, wear: np.ndarray, rng: np.random.Generator) -> Contrast:
    """With cortices that coarse voxels still show: stage 1 takes what is of one density for no bone."""
    hu = contrast.hu.copy()
    for code in LEVEL_CODES.values():
        hu[code] = np.clip(hu[code], *SPONGY_HU)
        hu[code + CORTEX] = max(hu[code + CORTEX], hu[code] + rng.uniform(*CORTEX_HU))
    bone = np.isin(wear, [code + CORTEX for code in LEVEL_CODES.values()])
    hu[bone] = hu[wear[bone]]  # what has become bone of a disc, too
    return replace(contrast, hu=hu)


def _about_the_neck(subject: Subject, placement: Placement) -> Placement:
    """The same scan in a window about its neck."""
    inverse = np.linalg.inv(placement.matrix)
    aside = inverse @ (subject.centres[5] - placement.centre)
    half = WINDOW[2] * VOXEL_MM / 2
    low, high = placement.low[2], placement.high[2]
    if high - low > 2 * half:
        aside[2] = np.clip(aside[2] + 10, low + half, high - half)
    else:
        aside[2] = (low + high) / 2
    return replace(
        placement,
        centre=placement.centre + placement.matrix @ aside,
        low=placement.low - aside,
        high=placement.high - aside,
        axis=placement.axis - aside[:2],
    )
