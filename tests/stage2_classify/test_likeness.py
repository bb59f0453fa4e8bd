"""Pictures unlike any that a network learned from: their figures, their flag, and what a flagged level is answered."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_study import write_untrained_classifier

from common.errors import DatasetError
from common.labels import LEVELS
from stage2_classify.crops import files as crop_files
from stage2_classify.crops.cut import Crops, bone_window
from stage2_classify.crops.likeness import FIGURES, UNLIKE, _quantile, figures, ranges, unlike
from stage2_classify.inference.classifier import Classifier
from stage2_classify.inference.result import NOT_JUDGED
from stage2_classify.pretrained.for_people import ranges_of
from stage2_classify.settings import CropSettings

SETTINGS = CropSettings(size_mm=(40, 40, 24), spacing_mm=1.0)
SHAPE = (40, 40, 24)


def crops(seed: int, noise: float = 15.0, picture: Callable[[np.ndarray], np.ndarray] = lambda hu: hu) -> Crops:
    """Seven blocks of marrow of about 300 HU in a cortex of 900 amid tissue, with noise; `picture` changes their HU."""
    rng = np.random.default_rng(seed)
    images = np.zeros((7, 2, *SHAPE), np.uint8)
    x, y, z = np.abs(np.indices(SHAPE) - np.array(SHAPE)[:, None, None, None] / 2 + 0.5)
    bone, core = (x < 12) & (y < 10) & (z < 8), (x < 10) & (y < 8) & (z < 6)
    for row in range(7):
        hu = np.where(core, rng.uniform(200, 400), np.where(bone, rng.uniform(700, 1000), 50.0))
        hu = picture(hu) + rng.normal(0, noise, SHAPE)
        images[row] = bone_window(hu, SETTINGS.window_hu), 255 * bone
    return Crops(images, np.ones(7, bool), np.tile(np.eye(4), (7, 1, 1)), None, {})


def test_figures_are_those_of_the_picture() -> None:
    found = figures(crops(0, noise=30.0).images[0], SETTINGS)
    assert found is not None and tuple(found) == FIGURES
    assert found["noise_hu"] == pytest.approx(30, rel=0.12)
    still = figures(crops(0, noise=0.0, picture=lambda hu: np.where(hu > 500, 900, np.where(hu > 100, 300, 50)))
                    .images[0], SETTINGS)  # fmt: skip
    assert still is not None
    assert still["spread_hu"] == pytest.approx(600, abs=6)
    # at an edge of 850 HU between tissue and cortex central differences are 425 HU/mm along one axis
    assert 425 <= still["sharpness_hu_mm"] <= 425 * 3**0.5 + 10
    assert figures(np.zeros((2, *SHAPE), np.uint8), SETTINGS) is None


USUAL = ranges([crops(seed) for seed in range(4)], SETTINGS)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_quantiles_are_those_of_numpy_to_the_bit(kind: type) -> None:
    values = np.random.default_rng(0).normal(size=997).astype(kind)
    for part in (0, 0.05, 0.5, 0.75, 0.99, 1):
        assert _quantile(np.sort(values), part) == np.quantile(values, part)


def test_usual_pictures_have_no_flag() -> None:
    assert set(USUAL) == set(FIGURES)
    for seed in range(4, 8):
        assert unlike(crops(seed), USUAL, SETTINGS) == {}
    assert unlike(crops(9, noise=20.0), USUAL, SETTINGS) == {} == unlike(crops(9, noise=3.0), USUAL, SETTINGS)
    assert unlike(crops(9, picture=lambda hu: 0.9 * hu + 40), USUAL, SETTINGS) == {}


@pytest.mark.parametrize(
    ("what", "odd"),
    [
        ("noise_hu", crops(9, noise=150.0)),
        ("middle_hu", crops(9, picture=lambda hu: -hu)),
        ("spread_hu", crops(9, picture=lambda hu: 0 * hu)),  # water
        ("noise_hu", crops(9, noise=400.0, picture=lambda hu: 0 * hu)),
    ],
)
def test_odd_pictures_are_flagged(what: str, odd: Crops) -> None:
    flags = unlike(odd, USUAL, SETTINGS)
    assert set(flags) == set(LEVELS)
    assert all(flag[0].startswith(UNLIKE) and what in flag[0] for flag in flags.values())
    assert unlike(odd, {}, SETTINGS) == {}


def test_of_few_vertebrae_no_range_is_made() -> None:
    assert ranges([crops(0), crops(1)], SETTINGS) == {} == ranges([], SETTINGS)


def test_a_level_unlike_what_was_learned_from_is_not_judged(tmp_path: Path) -> None:
    found = Classifier.load(write_untrained_classifier(tmp_path / "fold0/weights.safetensors"), "cpu")
    one = replace(found.predictors[0], settings=found.predictors[0].settings.model_copy(update={"crops": SETTINGS}))
    knows = replace(found, predictors=(replace(one, ranges=USUAL),))
    usual = crops(5)
    odd = replace(usual, images=usual.images.copy())
    odd.images[3] = crops(9, noise=150.0).images[3]
    flags = knows.predict("1", odd).flags
    assert set(flags) == {"C4"} and flags["C4"][1].startswith(f"{NOT_JUDGED}: {UNLIKE}")
    assert knows.predict("1", usual).flags == {} == replace(found, predictors=(one,)).predict("1", odd).flags
    held, free = knows.predict("1", odd), replace(found, predictors=(one,)).predict("1", odd)
    assert held.probabilities[3] == pytest.approx(one.prior[3], abs=1e-6) != free.probabilities[3]


def test_ranges_come_from_a_folder_of_crops(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"too few vertebrae"):
        ranges_of(tmp_path, SETTINGS)
    for seed in range(4):
        crop_files.save(tmp_path / f"anna/{seed:04d}.npz", crops(seed))
    assert ranges_of(tmp_path, SETTINGS) == USUAL
    with pytest.raises(DatasetError, match=r"crops of \(40, 40, 24\) cells; the encoder's have \(80, 80, 48\)"):
        ranges_of(tmp_path, SETTINGS.model_copy(update={"spacing_mm": 0.5}))
