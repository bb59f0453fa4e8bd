"""Hard necks, figures of a certainty, and the fit of its few numbers."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from drawn_profile import drawn_profile

from common.phantom.tissues import CORTEX
from stage1_segment.evaluation import calibrate_levels as calibrate
from stage1_segment.evaluation import level_examples
from stage1_segment.evaluation.certainty_figures import draw_reliability, figures, reliability
from stage1_segment.evaluation.level_examples import Example, _load
from stage1_segment.evaluation.level_truth import drifted, named_rightly
from stage1_segment.inference.levels.model import LevelModel
from stage1_segment.inference.levels.profile import Profile
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


def test_fit_lowers_the_log_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "TRIES", 12)
    given = drawn_examples()
    poor = dataclasses.replace(LevelModel(), intercept=-3.0)
    fitted = calibrate.fit(given, LevelModel())
    assert calibrate.log_loss(given, fitted) < calibrate.log_loss(given, poor)
    assert fitted.slope > 0
    certain, right = calibrate.certainties(given, fitted), np.array([example.right for example in given])
    assert certain[right].mean() > certain[~right].mean() + 0.5


def test_examples_are_read_as_they_were_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, truth = drawn_profile()

    def make(path: Path, seed: int, number: int, segmenter: None) -> None:
        content = {name: np.asarray(getattr(seen, name)) for name in Profile.__dataclass_fields__}
        np.savez(path, kind=np.array("usual"), truth=truth, **content)

    monkeypatch.setattr(level_examples, "_make", make)
    monkeypatch.setattr(level_examples, "_segmenter", lambda *_: None)
    weights = tmp_path / "w"
    weights.write_bytes(b"w")
    found = level_examples.examples(tmp_path, 1, range(2), weights)
    assert [example.kind for example in found] == ["usual", "drifted", "drifted"] * 2
    assert found[0].right and found[0].seen.above_mm == seen.above_mm
    kind, again, same = _load(next(tmp_path.glob("*.npz")))
    assert kind == "usual" and np.array_equal(again.hu, seen.hu) and np.array_equal(same, truth)
