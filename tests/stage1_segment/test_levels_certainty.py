"""How certain the level count is: right masks, drifted ones, blocks, partial views; abstention; what is written."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_profile import HEIGHTS, drawn_profile

from common.errors import WeightsError
from common.labels import LEVELS
from common.volume import Volume
from stage1_segment.evaluation.level_truth import drifted, named_rightly
from stage1_segment.inference.levels.abstain import said_of, without_uncertain
from stage1_segment.inference.levels.certainty import LevelCertainty, body_place, certainty_of
from stage1_segment.inference.levels.line import STEP_MM, body_line
from stage1_segment.inference.levels.model import LevelModel, dip, model_beside, path_beside
from stage1_segment.inference.levels.states import STATES, transitions

MODEL = LevelModel()
LOWER = {value: mm for value, mm in HEIGHTS.items() if value >= 4}
UNSURE = LevelCertainty(0.3, {"C4": 0.55, "C5": 0.95}, {"C4": {"C4": 0.55, "C5": 0.45}, "C5": {"C5": 0.95, "C6": 0.05}})


def certainty(seen) -> LevelCertainty:
    found = certainty_of(seen, MODEL)
    assert found is not None
    return found


@pytest.mark.parametrize("size", [0.85, 1.0, 1.2])
def test_right_names_are_certain_in_people_of_any_size(size: float) -> None:
    seen, truth = drawn_profile({value: size * mm for value, mm in HEIGHTS.items()})
    assert named_rightly(seen.names, truth)
    found = certainty(seen)
    assert found.study > 0.95 and set(found.levels) == set(LEVELS) and min(found.levels.values()) > 0.95


def test_scan_that_begins_within_the_neck_is_less_certain_than_a_whole_one() -> None:
    seen, _ = drawn_profile(LOWER, above_mm=0.0)
    assert 0.5 < certainty(seen).study <= certainty(drawn_profile()[0]).study


@pytest.mark.parametrize("seed", range(6))
def test_borders_that_drift_off_visible_discs_are_found(seed: int) -> None:
    """Half of a body goes to the next: the network is as sure as ever."""
    seen, truth = drawn_profile()
    names = seen.names.copy()
    begin = np.flatnonzero(truth == 4 + seed % 2)[0]
    names[begin : begin + round(11 / STEP_MM)] = 3 + seed % 2
    follows = 5 + seed % 2
    begin = np.flatnonzero(truth == follows)[0]
    names[begin : begin + round(11 / STEP_MM)] = follows - 1
    classes = seen.classes.copy()
    classes[:, 1:] = 0.001
    classes[np.arange(len(names)), names] = 1 - classes[:, 0] - 0.007
    wrong = replace(seen, names=names, classes=classes)
    assert not named_rightly(names, truth)
    found = certainty(wrong)
    assert found.study < 0.3
    assert min(found.levels.values()) < 0.8


def test_random_drift_is_told_from_right_masks() -> None:
    """Over many: of those whose borders drifted to a wrong name nearly all are called uncertain, of the others few."""
    wrong, right = [], []
    for seed in range(30):
        seen, truth = drawn_profile(seed=seed)
        moved = drifted(seen, truth, np.random.default_rng(seed))
        (right if named_rightly(moved.names, truth) else wrong).append(certainty(moved).study)
    assert len(wrong) > 10 and len(right) > 2
    assert np.mean(np.array(wrong) < 0.8) > 0.9 and np.mean(np.array(right) > 0.8) > 0.6


def test_block_without_discs_is_less_certain_but_not_lost() -> None:
    assert certainty(drawn_profile()[0]).study > certainty(drawn_profile(fused=True)[0]).study > 0.5


def test_whole_shift_against_the_skull_is_uncertain() -> None:
    """C3 and all below called one too low, as though C2 and C3 were one."""
    seen, truth = drawn_profile()
    names = seen.names.copy()
    for value in (7, 6, 5, 4, 3):
        names[truth == value] = value + 1
    classes = 0.001 * np.ones_like(seen.classes)
    classes[:, 0] = seen.classes[:, 0]
    classes[np.arange(len(names)), names] = 1 - classes[:, 0] - 0.007
    found = certainty(replace(seen, names=names, classes=classes))
    assert found.study < 0.8
    assert sum(found.alternatives["C5"].values()) == pytest.approx(1, abs=0.01)


def test_chances_from_one_vertebra_to_the_next_sum_to_one() -> None:
    assert transitions().sum(axis=1) == pytest.approx(np.ones(len(STATES)))


def test_dip_is_high_in_discs_alone() -> None:
    seen, truth = drawn_profile(noise=0.0)
    border = np.flatnonzero(truth == 4)[-1]
    found = dip(seen.hu, 25.0)
    assert found[border] > 0.6 > 0.2 > found[body_place(truth, "C4")]
    assert not dip(np.full(40, np.nan), 25.0).any()


def test_no_line_and_no_level_say_nothing() -> None:
    seen, _ = drawn_profile({8: 60.0})
    assert certainty_of(None, MODEL) is None and certainty_of(seen, MODEL) is None


def test_line_runs_through_the_bodies_from_the_top() -> None:
    bone = np.zeros((40, 40, 60), np.float32)
    bone[12:24, 20:30, 5:55] = 1  # bodies
    bone[16:20, 8:12, 5:55] = 1  # processes
    affine = np.diag([1.5, 1.5, 1.5, 1.0])
    line = body_line(Volume(bone, affine))
    assert line is not None and line[0, 2] > line[-1, 2]
    assert np.abs(line[5:-5, :2] - [26.25, 36.75]).max() < 3.5
    assert np.linalg.norm(np.diff(line, axis=0), axis=1) == pytest.approx(np.full(len(line) - 1, STEP_MM), abs=0.1)
    assert body_line(Volume(np.zeros((9, 9, 9), np.float32), affine)) is None


def test_levels_below_the_limit_lose_their_names_alone() -> None:
    mask = Volume(np.repeat(np.arange(9, dtype=np.uint8), 2).reshape(1, 2, 9), np.eye(4))
    kept, unnamed = without_uncertain(mask, UNSURE, 0.9)
    assert unnamed == ("C4",)
    assert np.array_equal(np.where(mask.array == 4, 0, mask.array), kept.array) and kept.array.dtype == np.uint8
    assert without_uncertain(mask, UNSURE, 0.0) == (mask, ()) == without_uncertain(mask, None, 0.9)


def test_what_is_said_of_an_uncertain_count() -> None:
    said = said_of(UNSURE, ("C4",), 0.9)
    assert len(said) == 2
    drifted = LevelCertainty(0.3, {"C6": 0.7}, {"C6": {"C6": 1.0}})
    assert "(C6's borders are right with 70%)" in said_of(drifted, (), 0.0)[0]
    assert "30%" in said[0] and "what looks like C4 is C4 55%, C5 45%" in said[0] and "C5 95%" not in said[0]
    assert "90%" in said[1] and "C4 55%" in said[1]
    assert said_of(replace(UNSURE, study=0.85), (), 0.0) == () == said_of(None, (), 0.9)


def test_parameters_go_through_their_file(tmp_path: Path) -> None:
    weights = tmp_path / "own.safetensors"
    assert path_beside(weights).name == "own.levels.json" and model_beside(weights) is None
    model = replace(MODEL, classes=0.017, slope=0.8)
    path_beside(weights).write_text(json.dumps({"parameters": model.to_json(), "fitted": {}}))
    assert model_beside(weights) == model
    weights.write_bytes(b"others")
    path_beside(weights).write_text(json.dumps({"parameters": model.to_json(), "fitted": {"weights": "00"}}))
    with pytest.raises(WeightsError, match="other weights"):
        model_beside(weights)
    for wrong in ({"parameters": {"classes": -1.0}}, {"parameters": {"other": 1.0}}, {}, []):
        path_beside(weights).write_text(json.dumps(wrong))
        with pytest.raises(WeightsError, match="calibrate-levels"):
            model_beside(weights)
