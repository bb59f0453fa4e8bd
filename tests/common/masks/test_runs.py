"""Runs of a mask's values, by hand."""

import numpy as np
import pytest

from common.masks import runs
from common.masks.runs import runs_of


@pytest.mark.parametrize("slab", [1, 25, 2**18])
@pytest.mark.parametrize("kind", [np.uint8, ">i2"])
def test_runs_end_with_their_lines_however_many_planes_are_looked_at(
    slab: int, kind: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines of three voxels and one of room, planes of two lines and one of room: the third plane begins at 24."""
    monkeypatch.setattr(runs, "SLAB", slab)
    mask = np.zeros((3, 2, 3), kind)
    mask[0] = [[1, 1, 0], [0, 2, 2]]
    mask[2] = [[0, 0, 3], [3, 1, 0]]
    starts, stops, values, shape = runs_of(mask)
    assert starts.tolist() == [0, 5, 26, 28, 29] and stops.tolist() == [2, 7, 27, 29, 30]
    assert values.tolist() == [1, 2, 3, 3, 1] and shape == (3, 3, 4)
    assert [len(found) for found in runs_of(np.zeros_like(mask))[:3]] == [0, 0, 0]


@pytest.mark.parametrize("shape", [(0, 4, 4), (4, 0, 4), (4, 4, 0)])
def test_no_voxels_have_no_runs(shape: tuple[int, int, int]) -> None:
    assert [len(found) for found in runs_of(np.zeros(shape, np.uint8))[:3]] == [0, 0, 0]
