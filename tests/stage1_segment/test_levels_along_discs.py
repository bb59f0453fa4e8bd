"""Names are moved to the discs where borders drifted off; arches, which have none, keep theirs; when it is done."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn_profile import drawn_profile
from scipy.spatial import cKDTree

from common.volume import Grid, Volume
from stage1_segment.inference import segmenter
from stage1_segment.inference.levels.along_discs import moved_to_discs
from stage1_segment.inference.levels.certainty import LevelCertainty, certainty_of
from stage1_segment.inference.levels.line import STEP_MM
from stage1_segment.inference.levels.model import LevelModel
from stage1_segment.inference.levels.profile import Profile, renamed
from stage1_segment.inference.segmenter import Segmenter, _Labelled
from stage1_segment.settings import PatchSettings, PredictSettings

SURE = LevelCertainty(1.0, {}, {})
BODY_MM, BEHIND_MM = 9.0, 25.0


def column(line: np.ndarray, bodies: np.ndarray, arches: np.ndarray) -> tuple[Volume, np.ndarray, np.ndarray]:
    """Labels of bodies about a line and of arches behind it, each place's names as given; which voxels are which."""
    low, high = line.min(axis=0) - np.array([12, 32, 6]), line.max(axis=0) + np.array([12, 12, 6])
    grid = Grid.around((low + high) / 2, high - low, np.full(3, 2.0))
    world = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1).reshape(-1, 3))
    away, at = cKDTree(line).query(world)
    away_behind, at_behind = cKDTree(line - [0, BEHIND_MM, 0]).query(world)
    body, arch = away < BODY_MM, away_behind < 5
    labels = np.where(body, bodies[at], np.where(arch, arches[at_behind], 0)).astype(np.uint8)
    shape = grid.shape
    return Volume(labels.reshape(shape), grid.affine), body.reshape(shape), arch.reshape(shape)


def drifted_profile() -> tuple[Profile, np.ndarray]:
    """The border between C4 and C5, and that between C5 and C6, half a body too low; with the truth."""
    seen, truth = drawn_profile()
    names = seen.names.copy()
    for level in (5, 6):
        begin = np.flatnonzero(truth == level)[0]
        names[begin : begin + round(9 / STEP_MM)] = level - 1
    classes = seen.classes.copy()
    classes[:, 1:] = 0.001
    classes[np.arange(len(names)), names] = 1 - classes[:, 0] - 0.007
    return replace(seen, names=names, classes=classes), truth


def test_bodies_get_the_names_of_their_discs_and_arches_keep_theirs() -> None:
    seen, truth = drifted_profile()
    labels, body, arch = column(seen.line, seen.names, truth)
    right, _, _ = column(seen.line, truth, truth)
    assert np.mean(labels.array[body] == right.array[body]) < 0.9
    moved = moved_to_discs(labels, seen, LevelModel())
    assert moved is not None and np.array_equal(moved.affine, labels.affine)
    assert np.mean(moved.array[body] == right.array[body]) > 0.97
    assert np.array_equal(moved.array[arch], labels.array[arch])
    assert np.array_equal(moved.array > 0, labels.array > 0)


def test_nothing_is_moved_where_borders_lie_at_their_discs() -> None:
    seen, truth = drawn_profile()
    labels, _, _ = column(seen.line, seen.names, truth)
    assert moved_to_discs(labels, seen, LevelModel()) is None


@pytest.mark.parametrize(
    ("first", "again", "moves", "kept"),
    [(-0.1, 3.0, True, "again"), (-2.0, -3.0, True, "first"), (0.1, 9.0, True, "first"), (-2.0, 3.0, False, "first")],
    ids=["doubted and surer then", "doubted and no surer", "not doubted", "nothing to move"],
)
def test_drawn_again_only_where_doubted_and_kept_only_where_surer(
    first: float, again: float, moves: bool, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`above_mm` stands for the chain's log odds. A calibration that calls all certain changes nothing."""
    names = torch.nn.functional.one_hot(torch.ones((2, 2, 2), dtype=torch.long), 9).movedim(3, 0).float()
    scan = Volume(np.zeros((2, 2, 2), np.int16), np.eye(4))
    seen = drawn_profile(above_mm=first)[0]
    found = {
        of: _Labelled(np.full((2, 2, 2), n, np.uint8), names, scan.grid, (of,), seen, SURE)
        for n, of in enumerate(("first", "again"), start=1)
    }
    shown, others = [], replace(seen, names=np.where(seen.names == 5, 6, seen.names), above_mm=again)

    def labelled(scan: Volume, previous: Volume, *_: object) -> _Labelled:
        shown.append(previous.array)
        return found["again"]

    monkeypatch.setattr(segmenter, "_labelled", labelled)
    monkeypatch.setattr(segmenter, "log_odds", lambda seen, model: seen.above_mm)
    monkeypatch.setattr(segmenter, "renamed", lambda of, mask: others if of is seen and (mask.array == 2).all() else of)
    moved = scan.with_array(np.full((2, 2, 2), 5, np.uint8)) if moves else None
    monkeypatch.setattr(segmenter, "moved_to_discs", lambda labels, *_: moved if (labels.array == 1).all() else None)
    own = Segmenter(torch.nn.Identity(), PatchSettings(), PredictSettings(), torch.device("cpu"), LevelModel())
    best = segmenter._drawn_again(found["first"], scan, np.zeros(3, int), np.full(3, 2), own)
    assert best.labels[0, 0, 0] == found[kept].labels[0, 0, 0] and best.seen is (others if kept == "again" else seen)
    surer = certainty_of(others, LevelModel())
    assert surer is not None and surer.study != SURE.study
    assert best.certainty == (replace(surer, study=SURE.study) if kept == "again" else SURE)
    assert len(shown) == (first < 0 and moves) and all((of == 5).all() for of in shown)
    assert any("drawn again" in said for said in best.notices) == (kept == "again")


def test_other_names_on_the_same_line() -> None:
    seen, truth = drifted_profile()
    right, _, _ = column(seen.line, truth, truth)
    found = renamed(seen, right)
    assert np.mean(found.names == truth) > 0.95 > np.mean(seen.names == truth)
    assert found.classes is seen.classes and found.hu is seen.hu
