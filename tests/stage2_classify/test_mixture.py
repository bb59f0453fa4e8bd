"""The answer about a level that may be another: mixtures by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from common.masks.alternatives import alternatives_beside, chances
from stage2_classify.calibration.decide import Decided
from stage2_classify.calibration.mixture import mixed

ALL = np.ones(7, bool)
GIVEN = Decided(np.array([0.1, 0.1, 0.1, 0.8, 0.2, 0.1, 0.1, 0.85]), None, np.zeros(8))
NOTHING = Decided(np.full(8, 0.05), None, np.full(8, 0.05))


def test_mixture_by_hand() -> None:
    """C4 is C4 with 0.9, C5 with 0.1; C5 is C5 with 0.7, C6 with 0.3: C4 0.9 * 0.8 + 0.1 * 0.05; C5 0.1 * 0.8 + 0.7 *
    0.2 + 0.2 * 0.05; C6 is what C5 or C6 may be, 1.3 in sum, so each by 1.3: (0.3 * 0.2 + 1 * 0.1) / 1.3."""
    found = mixed(GIVEN, NOTHING, ALL, {"C4": {"C4": 0.9, "C5": 0.1}, "C5": {"C5": 0.7, "C6": 0.3}})
    assert found.answer[3:6] == pytest.approx([0.725, 0.23, 0.16 / 1.3])
    assert found.answer[[0, 1, 2, 6, 7]] == pytest.approx(GIVEN.answer[[0, 1, 2, 6, 7]])
    assert found.network is GIVEN.network and found.calibrated is None


def test_level_in_no_view_gets_what_may_be_it() -> None:
    """Nothing is called C5, and C4 is C5 with 0.4: 0.4 * 0.8 and for the rest what the others say of C5."""
    judged = np.array([1, 1, 1, 1, 0, 1, 1], bool)
    found = mixed(GIVEN, NOTHING, judged, {"C4": {"C4": 0.6, "C5": 0.4}})
    assert found.answer[4] == pytest.approx(0.4 * 0.8 + 0.6 * 0.2)
    assert found.answer[3] == pytest.approx(0.6 * 0.8 + 0.4 * 0.05)


def test_certain_levels_keep_their_answers_exactly() -> None:
    assert mixed(GIVEN, NOTHING, ALL, {}) is GIVEN
    assert mixed(GIVEN, NOTHING, ALL, {"C4": {"C4": 1.0}}) is GIVEN
    none = np.zeros(7, bool)
    assert mixed(GIVEN, NOTHING, none, {"C4": {"C5": 1.0}}) is GIVEN


def test_vertebra_below_the_neck_leaves_its_level_to_the_prior() -> None:
    found = mixed(GIVEN, NOTHING, ALL, {"C7": {"C7": 0.25, "T1": 0.75}})
    assert found.answer[6] == pytest.approx(0.25 * 0.1 + 0.75 * 0.05)


def test_calibrated_answers_are_mixed_alike() -> None:
    given = Decided(GIVEN.answer, GIVEN.answer / 2, GIVEN.network)
    nothing = Decided(NOTHING.answer, NOTHING.answer / 2, NOTHING.network)
    found = mixed(given, nothing, ALL, {"C4": {"C4": 0.9, "C5": 0.1}})
    assert found.calibrated == pytest.approx(found.answer / 2)


def test_alternatives_beside_a_mask(tmp_path: Path) -> None:
    beside, mask = tmp_path / "mask.json", tmp_path / "mask.nii.gz"
    assert alternatives_beside(mask) == {}
    levels = {"C4": {"alternatives": {"C4": 0.9, "T1": 0.1}}, "C5": {"alternatives": {}}, "C6": {}}
    beside.write_text(json.dumps({"levels": levels}))
    assert alternatives_beside(mask) == {"C4": {"C4": 0.9, "T1": 0.1}}
    found = chances(alternatives_beside(mask), ALL)
    assert found[3].tolist() == [0, 0, 0, 0.9, 0, 0, 0]
    assert np.array_equal(np.delete(found, 3, 0), np.delete(np.eye(7), 3, 0))
    for wrong in ({"C4": 1.4}, {"C4": -0.1}, {"C4": 0.8, "C5": 0.8}, {"C4": "much"}):
        beside.write_text(json.dumps({"levels": {"C4": {"alternatives": wrong}}}))
        assert alternatives_beside(mask) == {}
