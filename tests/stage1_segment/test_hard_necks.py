"""Hard necks, figures of a certainty, and the fit of its few numbers."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_profile import drawn_profile
from scipy.special import expit

from common.errors import ConfigError, CorruptFile
from common.outputs import store
from common.outputs.schema import Schema
from common.phantom.tissues import CORTEX
from common.volume import Volume
from stage1_segment.evaluation import calibrate_levels as calibrate
from stage1_segment.evaluation import evaluate_certainty, level_examples
from stage1_segment.evaluation.certainty_figures import (
    draw_reliability,
    equal_mass_error,
    figures,
    if_calibrated,
    reliability,
)
from stage1_segment.evaluation.evaluate_certainty import drawn_again
from stage1_segment.evaluation.hard_necks import HardNeck
from stage1_segment.evaluation.level_examples import Example
from stage1_segment.evaluation.level_truth import drifted, named_rightly
from stage1_segment.inference.levels.certainty import UNCERTAIN_BELOW, log_odds
from stage1_segment.inference.levels.model import LevelModel, model_beside, path_beside
from stage1_segment.inference.levels.profile import Profile
from stage1_segment.inference.segmenter import Segmentation, Segmenter
from stage1_segment.settings import PatchSettings, PredictSettings
from stage1_segment.training.synthetic.worn_discs import FIRST, LAYERS, PARTS, draw_disc_wear, fused


def drawn_examples(count: int = 12) -> list[Example]:
    found = []
    for seed in range(count):
        seen, truth = drawn_profile(seed=seed, fused=seed % 3 == 0)
        found.append(Example("usual", seen, truth, True))
        moved = drifted(seen, truth, np.random.default_rng(seed))
        found.append(Example("drifted", moved, truth, named_rightly(moved.names, truth)))
    return found


def test_figures_by_hand() -> None:
    """Four studies: right at 0.95 and 0.85, wrong at 0.9 and 0.3. The most certain first: errors 0, 1/2, 1/3, 2/4."""
    found = figures([0.95, 0.9, 0.85, 0.3], [True, False, True, False])
    assert found["wrong_per_100"] == 50.0 and found["uncertain_per_100"] == 25.0
    assert found["wrong_called_certain"] == 1 and found["right_called_uncertain"] == 0
    assert found["wrong_per_100_of_certain"] == 33.3
    assert found["area_under_error_curve"] == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4, abs=1e-4)
    assert found["area_at_best"] == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4, abs=1e-4)
    # Bins 0.3: said 0.3, right 0; 0.8: 0.85, 1; 0.9: (0.95 + 0.9) / 2, 1/2.
    assert found["calibration_error"] == pytest.approx((0.3 + 0.15 + 2 * 0.425) / 4, abs=1e-4)


def test_picture_of_reliability(tmp_path: Path) -> None:
    certain, right = np.array([0.2, 0.9, 1.0]), np.array([False, True, True])
    assert [row["studies"] for row in reliability(certain, right)] == [1, 2]
    draw_reliability(tmp_path / "p.png", {"some": (certain, right)})
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_block_has_bone_in_place_of_its_disc() -> None:
    table = fused(draw_disc_wear(np.random.default_rng(0), 0.0), [3])
    first = FIRST + 2 * PARTS
    assert table[first : first + PARTS].tolist() == [CORTEX + 3] * LAYERS + [CORTEX + 4] * LAYERS
    assert table[first + PARTS] == first + PARTS  # the next disc stays


def test_truth_along_a_line() -> None:
    seen, truth = drawn_profile()
    assert named_rightly(seen.names, truth)
    wrong = seen.names.copy()
    wrong[truth == 5] = 6
    assert not named_rightly(wrong, truth)
    below = seen.names.copy()
    below[np.flatnonzero(truth == 8)[:10]] = 7  # T1 called C7
    assert not named_rightly(below, truth)
    cut = truth[: np.flatnonzero(truth == 5)[0] + 4].copy()  # 6 mm of C5 in view, half of its lower end without bone
    cut[-2:] = 0
    assert named_rightly(np.where(cut == 5, 4, cut), cut) and not named_rightly(np.where(cut == 4, 3, cut), cut)
    gap = seen.names.copy()
    gap[np.flatnonzero(truth == 5)[3:6]] = 0
    assert named_rightly(gap, truth)


def test_drift_moves_names_and_classes_together_and_nothing_else() -> None:
    seen, truth = drawn_profile()
    moved = drifted(seen, truth, np.random.default_rng(3))
    assert np.array_equal(moved.hu, seen.hu) and np.allclose(moved.classes[:, 0], seen.classes[:, 0])
    assert moved.classes.sum(axis=1) == pytest.approx(np.ones(len(truth)), abs=1e-5)
    changed = np.flatnonzero(moved.names != seen.names)
    assert len(changed) >= 2
    assert (moved.classes[changed, 1:].argmax(axis=1) + 1 == moved.names[changed]).mean() > 0.8
    assert set(np.diff(moved.names.astype(int))) <= {0, 1}  # still in order


def test_fit_finds_the_line_and_leaves_the_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies that are right with a probability of 0.8 where the chain says so, and of half its log odds from there."""
    monkeypatch.setattr(calibrate, "log_odds", lambda odds, model: odds)
    rng = np.random.default_rng(0)
    odds = rng.normal(1, 4, 4000)
    right = rng.random(len(odds)) < expit((np.log(4) + odds) / 2)
    given: list = [Example("usual", seen, np.zeros(0), bool(good)) for seen, good in zip(odds, right)]
    start = dataclasses.replace(LevelModel(), classes=0.02)
    fitted = calibrate.with_line(start, given)
    assert fitted.slope == pytest.approx(0.5, abs=0.05)
    assert expit(fitted.intercept + fitted.slope * np.log(4)) == pytest.approx(UNCERTAIN_BELOW)
    assert calibrate.log_losses(given, fitted).mean() < calibrate.log_losses(given, start).mean() - 0.05
    assert dataclasses.replace(fitted, intercept=0.0, slope=1.0) == start


def test_calibration_writes_the_line_and_keeps_the_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = drawn_examples()
    asked = []
    monkeypatch.setattr(calibrate, "examples", lambda *of: asked.append(of[4]) or given)
    weights = tmp_path / "own.safetensors"
    weights.write_bytes(b"w")
    chain = dataclasses.replace(LevelModel(), height_sd=0.07)
    store.write_json(path_beside(weights), {"parameters": dataclasses.replace(chain, slope=3.0).to_json()})
    extra = Example("usual", given[1].seen, given[1].truth, False)
    given.append(extra)
    content = calibrate.calibrate_levels(tmp_path, weights, 12, 1)
    written = model_beside(weights)
    assert asked == [chain] and written is not None
    assert dataclasses.replace(written, intercept=0.0, slope=1.0) == chain and written != chain
    assert content["fitted"]["named"] == 13 and content["fitted"]["wrong"] == 1  # drifted ones are none of them
    given[:] = drawn_examples(2)
    with pytest.raises(ConfigError, match="all right"):
        calibrate.calibrate_levels(tmp_path, weights, 2, 1)


def test_what_drawing_again_changed() -> None:
    """Of five necks one became right, one wrong, one stayed wrong; three were drawn again."""
    seen, truth = drawn_profile()
    good, bad = (Example("usual", seen, truth, right) for right in (True, False))
    own = [good, bad, *(dataclasses.replace(a, before=b) for a, b in ((good, bad), (bad, good), (bad, bad)))]
    assert drawn_again(own) == {
        "necks": 3, "wrong_per_100_before": 60.0, "wrong_per_100_after": 60.0, "became_right": 1, "became_wrong": 1,
    }  # fmt: skip


def test_figures_of_hard_necks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = drawn_examples(6)
    given[0] = dataclasses.replace(given[0], before=dataclasses.replace(given[0], right=False))
    monkeypatch.setattr(evaluate_certainty, "examples", lambda *of: given)
    model = dataclasses.replace(LevelModel(), intercept=0.5, slope=0.5)
    weights, picture = tmp_path / "w", tmp_path / "p.png"
    found = evaluate_certainty.evaluate_certainty(tmp_path, weights, model, range(8), 1, picture=picture)
    assert found["necks"] == 8 and found["without_a_level_per_100"] == 25.0
    assert found["before"]["wrong_per_100"] == 16.7 and found["after"]["wrong_per_100"] == 0.0
    assert found["after"]["studies"] == found["usual"]["studies"] == found["drifted"]["studies"] == 6
    own = [example.seen for example in given if example.kind == "usual"]
    said = np.array([log_odds(seen, model) for seen in own])
    chain, line = np.log1p(np.exp(-said)), np.log1p(np.exp(-0.5 - said / 2))
    assert found["calibration"]["after"]["log_loss_of_the_chain"] == pytest.approx(chain.mean(), abs=1e-3)
    assert found["calibration"]["after"]["log_loss"] == pytest.approx(line.mean(), abs=1e-3)
    other = np.concatenate([[np.log1p(np.exp(said[0]))], chain[1:]])  # the first was wrong before
    assert found["calibration"]["before"]["log_loss_of_the_chain"] == pytest.approx(other.mean(), abs=1e-3)
    low, high = found["calibration"]["after"]["gain_95"]
    assert low <= (chain - line).mean() <= high and picture.is_file()


def test_error_in_bins_of_as_many_by_hand() -> None:
    """Ten bins of two: each off by |0.9 + 0.9 - 1| / 2 = 0.4 or, where both are right, by 0.1."""
    said = np.full(20, 0.9)
    assert equal_mass_error(said, np.tile([True, False], 10)) == pytest.approx(0.4)
    assert equal_mass_error(said, np.ones(20, bool)) == pytest.approx(0.1)
    mean, most = if_calibrated(np.full(2000, 0.9))
    assert 0 < mean < most < 0.05 < if_calibrated(said)[0]


def test_examples_are_kept_for_what_makes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read again as they were; made anew for another seed, precision, chain or schema number, not for another line."""
    seen, truth = drawn_profile()
    wrong = dataclasses.replace(seen, names=np.where(truth == 5, 6, truth).astype(np.uint8))
    mask = Volume(np.zeros((2, 2, 2), np.uint8), np.eye(4))
    made = []

    def segment(ct: Volume, segmenter: Segmenter) -> Segmentation:
        made.append(segmenter.levels)
        return Segmentation(mask, {}, (), profile=seen, before=wrong)

    monkeypatch.setattr(level_examples, "segment", segment)
    monkeypatch.setattr(level_examples, "_subject", lambda seed, number: None)
    monkeypatch.setattr(level_examples, "make_neck", lambda *of: HardNeck("usual", mask, mask))
    monkeypatch.setattr(level_examples, "names_at", lambda *of: truth)
    empty = Segmenter(torch.nn.Identity(), PatchSettings(), PredictSettings(), torch.device("cpu"))
    monkeypatch.setattr(level_examples, "_segmenter", lambda *of: empty)
    weights = tmp_path / "w"
    weights.write_bytes(b"w")
    model = LevelModel()
    found = level_examples.examples(tmp_path, 1, range(2), weights, model)
    assert [example.kind for example in found] == ["usual", "drifted", "drifted"] * 2 and made == [model, model]
    again = level_examples.examples(tmp_path, 1, range(2), weights, dataclasses.replace(model, slope=0.3))
    assert len(made) == 2
    for example in (found[0], again[0]):
        assert example.right and example.before is not None and not example.before.right
        assert example.undrawn is example.before and found[1].undrawn is found[1]
        assert example.seen.above_mm == seen.above_mm and np.array_equal(example.seen.hu, seen.hu)
        assert np.array_equal(example.truth, truth) and np.array_equal(example.before.seen.names, wrong.names)
    other = dataclasses.replace(model, height_sd=0.07)
    level_examples.examples(tmp_path, 1, range(1), weights, other)
    level_examples.examples(tmp_path, 2, range(1), weights, model)
    level_examples.examples(tmp_path, 1, range(1), weights, model, "auto", "32-true")
    monkeypatch.setattr(level_examples, "LEVEL_EXAMPLE", Schema("what is seen in a hard neck", 99))
    level_examples.examples(tmp_path, 1, range(1), weights, model)
    assert made == [model, model, other, model, model, model]


def test_neck_without_a_level_on_its_line_is_no_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, truth = drawn_profile()
    thoracic = dataclasses.replace(seen, names=np.where(truth == 8, 8, 0).astype(np.uint8))
    kept: dict[str, np.ndarray] = {name: np.asarray(getattr(thoracic, name)) for name in Profile.__dataclass_fields__}
    path = tmp_path / "n.npz"
    np.savez(path, kind=np.array("usual"), truth=truth, **kept)
    assert level_examples._load(path) is None
    path.write_bytes(b"no zip")
    with pytest.raises(CorruptFile, match="remove it"):
        level_examples._load(path)
