"""Fracture boxes of the competition, in the world."""

import numpy as np
import pandas as pd

from common.dataset.competition import UID
from common.volume import Grid


def slice_numbers(slices: tuple[str, ...]) -> dict[int, int]:
    """File number (`133.dcm`) -> index along the slice axis; stems that aren't numbers are left out."""
    return {int(stem): index for index, stem in enumerate(slices) if stem.isascii() and stem.isdigit()}


def world_boxes(uid: str, table: pd.DataFrame, grid: Grid, slices: tuple[str, ...]) -> np.ndarray:
    """(n, 2, 3) world RAS mm, low and high corner of each box of a study that lies on one of its slices.

    `table` as Competition.boxes; `grid` (column, row, slice) of the DICOM files and their stems. x and y count
    from the outer corner of the first pixel, whose centre is therefore at (0.5, 0.5). A box is one slice thick.
    """
    index_of = slice_numbers(slices)
    boxes = []
    rows = table.loc[table[UID] == uid, ["x", "y", "width", "height", "slice_number"]].to_numpy(dtype=float)
    for x, y, width, height, number in rows:
        if int(number) not in index_of:
            continue
        low = np.array([x, y, index_of[int(number)]]) - 0.5
        ends = np.stack([low, low + np.array([width, height, 1])])
        corners = grid.to_world(np.array(np.meshgrid(*ends.T, indexing="ij")).reshape(3, -1).T)
        boxes.append([corners.min(axis=0), corners.max(axis=0)])
    return np.array(boxes).reshape(-1, 2, 3)
