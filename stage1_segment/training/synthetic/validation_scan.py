"""Whole synthetic scans of held-out subjects, to validate on."""

from pathlib import Path

import numpy as np
import torch

from stage1_segment.settings import SyntheticSettings
from stage1_segment.training.samples import Sample
from stage1_segment.training.synthetic.placement import place
from stage1_segment.training.synthetic.scan import draw_recipe, make_scans
from stage1_segment.training.synthetic.subject import load_subject

VOXEL_MM = 2.0
WINDOW = (96, 96, 160)
SEED = 20260


def whole_scan(path: Path, number: int, settings: SyntheticSettings | None = None) -> Sample:
    """Scan number `number` of a bank's subject, whatever the training's settings, so that trainings compare."""
    rng = np.random.default_rng([SEED, number])
    settings = settings or SyntheticSettings()
    subject = load_subject(path)
    placement = place(subject, np.array(WINDOW) * VOXEL_MM, True, settings, rng)
    recipe = draw_recipe(subject, placement, WINDOW, VOXEL_MM, settings, rng)
    (hu,), (mask,) = make_scans([subject], [recipe], WINDOW, VOXEL_MM, torch.device("cpu"))
    return Sample(hu.short().numpy(), mask.numpy(), np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0]))
