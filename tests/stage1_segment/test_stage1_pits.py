"""Pits and holes of vertebrae, by hand."""

import numpy as np

from stage1_segment.inference.pits import closed

MM = np.ones(3)


def block() -> np.ndarray:
    labels = np.zeros((16, 16, 16), np.uint8)
    labels[2:14, 2:14, 2:14] = 4
    return labels


def test_holes_are_filled_however_large() -> None:
    labels = block()
    labels[5:10, 5:10, 5:10] = 0
    assert np.array_equal(closed(labels, MM), block())


def test_narrow_pits_are_closed_and_wide_ones_stay() -> None:
    """Two voxels wide: a step from either side meets in the middle. Four wide: it doesn't."""
    narrow, wide = block(), block()
    narrow[10:14, 6:8, 6:8] = 0
    wide[10:14, 5:9, 5:9] = 0
    assert (closed(narrow, MM)[10:13, 6:8, 6:8] == 4).all()
    assert (closed(wide, MM)[13, 6:8, 6:8] == 0).all() and (closed(wide, MM)[13, 2:14, 2:4] == 4).all()


def test_fine_voxels_get_more_steps() -> None:
    """Four voxels of 0.4 mm are 1.6 mm, twice the reach."""
    labels = block()
    labels[10:14, 5:9, 5:9] = 0
    assert (closed(labels, 0.4 * MM)[10:12, 5:9, 5:9] == 4).all()


def test_a_canal_stays_open_and_so_does_the_edge_of_the_region() -> None:
    canal = block()
    canal[5:10, 5:10, :] = 0
    assert (closed(canal, MM)[6:9, 6:9] == 0).all()  # its corners are rounded
    cut = np.zeros((8, 8, 8), np.uint8)
    cut[:, :, 4:] = 2
    assert np.array_equal(closed(cut, MM), cut)


def test_another_level_keeps_what_it_has() -> None:
    labels = block()
    labels[6:8, 6:8, 6:8] = 5
    labels[5, 6, 6] = 0
    found = closed(labels, MM)
    assert (found[6:8, 6:8, 6:8] == 5).all() and found[5, 6, 6] == 4
