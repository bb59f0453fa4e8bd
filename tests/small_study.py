"""A small CT that can be read, with a mask, and networks of both stages that have learned nothing."""

from pathlib import Path

import numpy as np
import torch

from common.labels import BACKGROUND, CLASS_NAMES, TARGETS
from common.reading.nifti import write_nifti
from common.training.weights import save_weights
from common.volume import Volume
from stage1_segment.network import build_network
from stage1_segment.settings import KIND, NetworkSettings, PatchSettings, SegmentSettings
from stage2_classify.networks import build
from stage2_classify.predictor import KIND as CLASSIFICATION
from stage2_classify.settings import ClassifySettings, CropSettings


def write_blind_weights(path: Path) -> Path:
    """Weights whose answer is background everywhere."""
    settings = SegmentSettings(
        network=NetworkSettings(channels=[8, 8], decoder_channels=[8, 8]),
        patch=PatchSettings(coarse_mm=8.0, fine_mm=4.0, size=16),
    )
    network = build_network(settings.network)
    with torch.no_grad():
        *_, last = (value for value in network.parameters() if value.shape == (len(CLASS_NAMES),))
        last.zero_()
        last[BACKGROUND] = 50.0
    dump = settings.model_dump(mode="json", include={"network", "patch", "predict"})
    save_weights(path, network, {"kind": KIND, **dump})
    return path


def write_untrained_classifier(path: Path, synthetic: bool = True) -> Path:
    """Weights of stage 2, as drawn."""
    settings = ClassifySettings(
        network={"channels": [4, 8], "embedding": 8, "hidden": 4}, crops={"spacing_mm": 4}, encoder={"init_from": None}
    )
    torch.manual_seed(0)
    prior = np.full(len(TARGETS), 0.25)
    network = build(settings.network, torch.from_numpy(prior))
    description = {"settings": settings.model_dump(mode="json"), "prior": prior.tolist(), "synthetic": synthetic}
    save_weights(path, network, {"kind": CLASSIFICATION, **description})
    return path


def write_mask(path: Path, levels: bool = True) -> Path:
    """C2 to C6 along the rod of bone of `write_ct`, from above, 16 mm each; without `levels` nothing."""
    x, y, z = np.indices((24, 24, 24)) - 11.5
    level = np.clip(7 - (z + 11.5) // 4, 2, 6)
    values = np.where((x**2 + y**2 < 9) & (z > -10) & levels, level, 0)
    write_nifti(Volume(values.astype(np.uint8), np.diag([4.0, 4, 4, 1])), path)
    return path


def write_ct(path: Path, seed: int = 0) -> Path:
    """A column of soft tissue with a rod of bone in air, 96 mm high."""
    rng = np.random.default_rng(seed)
    x, y, _ = np.indices((24, 24, 24)) - 11.5
    hu = np.where(x**2 + y**2 < 100, rng.normal(45, 15, x.shape), rng.normal(-1000, 10, x.shape))
    hu = np.where(x**2 + y**2 < 9, rng.normal(500, 200, x.shape), hu)
    write_nifti(Volume(np.clip(hu, -1024, 3071).astype(np.int16), np.diag([4.0, 4, 4, 1])), path)
    return path


def write_ground(folder: Path) -> Path:
    """A folder of one healthy scan with its mask, anna, as `grounds.folder` wants them."""
    for name in ("scans", "masks"):
        (folder / name).mkdir(parents=True)
    write_ct(folder / "scans" / "anna.nii.gz")
    write_mask(folder / "masks" / "anna.nii.gz")
    return folder


CUBE_CROPS = CropSettings(size_mm=(64, 56, 32), spacing_mm=1.0, min_volume_mm3=500)


def bone_cubes(bone_hu: float, around_hu: float) -> tuple[Volume, Volume]:
    """CT and mask of three cubes of bone, C3 to C5 from above, with some noise; `CUBE_CROPS` fit one."""
    x, y, z = np.indices((60, 60, 70)) - np.array([30, 30, 35])[:, None, None, None]
    mask = np.zeros(x.shape, np.uint8)
    for number, height in ((3, 18), (4, 0), (5, -18)):
        mask[(np.abs(x) < 12) & (np.abs(y) < 9) & (np.abs(z - height) < 7)] = number
    ct = np.where(mask > 0, bone_hu, around_hu) + np.random.default_rng(0).normal(0, 5, mask.shape)
    return Volume(ct.astype(np.float32), np.eye(4)), Volume(mask, np.eye(4))
