"""The whole column of a subject: every vertebra made, put in its place, and kept clear of its neighbour."""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from common.phantom.anatomy.alignment import poses
from common.phantom.anatomy.column import Bone, Column, PosedBone
from common.phantom.anatomy.dimensions import COLUMN_LEVELS
from common.phantom.anatomy.person import Person
from common.phantom.anatomy.signed_distance import smooth_intersection
from common.phantom.anatomy.vertebra import MARGIN_MM, make_bone

CLEARANCE_MM = 1.1
"""Least gap between two bones; cartilage is wider, ligament bone contact doesn't occur in a healthy neck."""


def make_column(person: Person) -> Column:
    """C1 to T3 in the world (RAS mm), C4's centre at the origin; bent and turned as the person lies."""
    frames = poses(person)
    whole = {level: PosedBone(make_bone(level, person), frames[level]) for level in COLUMN_LEVELS}
    bones = {COLUMN_LEVELS[0]: whole[COLUMN_LEVELS[0]]}
    for upper, lower in pairwise(COLUMN_LEVELS):
        bones[lower] = PosedBone(_clear_of(whole[lower], whole[upper]), frames[lower])
    return Column(bones)


def _clear_of(lower: PosedBone, upper: PosedBone) -> Bone:
    """The lower bone without what comes nearer than CLEARANCE_MM to the upper one."""
    own, other = lower.bone.distance, upper.bone.distance
    across = (np.linalg.inv(upper.pose) @ lower.pose).astype(np.float32)
    tight = (upper.bone.bounds + np.array([[MARGIN_MM], [-MARGIN_MM]])).astype(np.float32)

    def distance(points: np.ndarray) -> np.ndarray:
        result = own(points)
        flat, values = np.asarray(points, np.float32).reshape(-1, 3), result.reshape(-1)
        there = flat @ across[:3, :3].T + across[:3, 3]
        close = (values < 2.5) & (there > tight[0]).all(axis=1) & (there < tight[1]).all(axis=1)
        if close.any():
            values[close] = smooth_intersection(values[close], CLEARANCE_MM - other(there[close]), 1.0)
        return values.reshape(result.shape)

    return replace(lower.bone, distance=distance)
