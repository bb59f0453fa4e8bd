"""How dense each tissue of a subject is, drawn anew for every scan."""

from dataclasses import dataclass, replace

import numpy as np

from common.phantom import tissues as t
from stage1_segment.training.synthetic.worn_discs import draw_disc_hu

AIR_HU = -1000.0

RANGES: dict[int, tuple[float, float]] = {
    t.MUSCLE: (25, 80), t.FAT: (-125, -65), t.SKIN: (-40, 80), t.DISC: (40, 130), t.CANAL: (0, 60),
    t.BRAIN: (15, 50), t.CARTILAGE: (50, 300), t.VESSEL: (25, 75), t.GLAND: (20, 160), t.LUNG: (-920, -650),
    t.SOFT: (0, 70), t.TEETH: (1300, 3000),
}  # fmt: skip
"""HU of soft tissues. Lung, fat and muscle as in any textbook (Hounsfield 1980); teeth with fillings are streaks."""
CONTRAST_AGENT = (100.0, 400.0)
SPONGY = (50.0, 450.0)
"""From osteoporotic to young bone of the neck, denser than the lumbar spine's (Yoganandan 2006, Bone 39:420)."""
CORTICAL, THIN = (150.0, 1100.0), (20.0, 250.0)
"""More than the spongy bone within, half of the scans each. The map's shell is a voxel; true ones have a third of a
millimetre, so that a coarse scan shows a body as one grey."""
OTHER_BONE = {
    (t.SKULL_CORTEX, t.SKULL_SPONGY): ((600, 1700), (200, 1000)),
    (t.JAW_CORTEX, t.JAW_SPONGY): ((600, 1700), (150, 700)),
    (t.RIB_CORTEX, t.RIB_SPONGY): ((300, 1200), (30, 350)),
    (t.BONE_CORTEX, t.BONE_SPONGY): ((350, 1400), (30, 400)),
}
GRAIN = {t.MUSCLE: (5, 35), t.FAT: (3, 20), t.SOFT: (5, 40), t.LUNG: (20, 100), t.GLAND: (3, 20)}
"""HU standard deviation of a tissue's own unevenness."""
UNEVEN_MM = (2.5, 5.0), (12.0, 30.0)
"""Its two scales: a few millimetres, and some centimetres."""
BONE_GRAIN = (0.08, 0.4)
"""The same for bone, as a part of its density."""


@dataclass(frozen=True, eq=False)
class Contrast:
    """HU (256,) of each tissue code, and the standard deviation (256,) of its unevenness, float32; the millimetres of
    the unevenness' two scales, and its seed."""

    hu: np.ndarray
    grain: np.ndarray
    uneven_mm: tuple[float, ...] = tuple(low for low, _ in UNEVEN_MM)
    seed: int = 0

    def through(self, table: np.ndarray, texture: float = 1.0) -> "Contrast":
        """That of codes which stand for those that a table (256,) has for them, so many times as uneven."""
        return replace(self, hu=self.hu[table], grain=self.grain[table] * np.float32(texture))


def draw_contrast(rng: np.random.Generator) -> Contrast:
    """One scan's densities."""
    hu, grain = np.full(256, AIR_HU, np.float32), np.zeros(256, np.float32)
    for code, limits in RANGES.items():
        hu[code] = rng.uniform(*limits)
    for code, limits in GRAIN.items():
        grain[code] = rng.uniform(*limits)
    if rng.random() < 0.4:
        hu[t.VESSEL] = rng.uniform(*CONTRAST_AGENT)
    _vertebrae(hu, grain, rng)
    for code, value in draw_disc_hu(hu[t.DISC], rng).items():
        hu[code] = value
    for codes, ranges in OTHER_BONE.items():
        for code, (low, high) in zip(codes, ranges):
            hu[code] = rng.uniform(low, high)
            grain[code] = hu[code] * rng.uniform(*BONE_GRAIN) * 0.7
    return Contrast(hu, grain, tuple(rng.uniform(*limits) for limits in UNEVEN_MM), int(rng.integers(2**31)))


def _vertebrae(hu: np.ndarray, grain: np.ndarray, rng: np.random.Generator) -> None:
    """One density for the spine, with less of it further down, and each vertebra's own difference from that."""
    codes = np.array(list(t.LEVEL_CODES.values()))
    spongy = np.exp(rng.uniform(*np.log(SPONGY))) * np.exp(rng.normal(0, rng.uniform(0.03, 0.25), len(codes)))
    spongy *= np.exp(-rng.uniform(0, 0.03) * (codes - 4))
    cortical = spongy + rng.uniform(*(CORTICAL if rng.random() < 0.5 else THIN)) * rng.uniform(0.8, 1.2, len(codes))
    odd = rng.random(len(codes)) < 0.03
    spongy[odd] = rng.uniform(20, 900, odd.sum())  # a vertebra full of metastases, or sclerotic
    hu[codes], hu[codes + t.CORTEX] = spongy, np.clip(cortical, 120, 1900)
    grain[codes] = spongy * rng.uniform(*BONE_GRAIN)
    grain[codes + t.CORTEX] = 0.2 * cortical
