"""The vertebrae that a place along the spine may belong to, how high each is, and which follows which."""

import numpy as np

from common.labels import LEVEL_IDS, THORACIC

STATES = ("C2", "C3", "C4", "C5", "C6", "C7", "C8", "T1", "T2", "T")
"""From the top. C2 stands for C1 and C2, whose ring and dens share a height; C8 is the eighth of a neck that has one
too many, T any vertebra below T2."""
VALUES = np.array([LEVEL_IDS.get(state, THORACIC) for state in STATES])
"""Each state's mask value."""
HEIGHT_MM = np.array([45.0, 17.8, 17.5, 17.0, 17.4, 18.9, 18.9, 20.5, 21.2, 21.5])
"""From the disc above a body to the disc below it, of an average adult; of C2 from the top of the dens' bone. Halves of
the distances between neighbouring body key points in 119 real CT scans (Buergin, Prevost, Stollenga 2023, keypoints of
VerSe, CT Colonography and Pancreas-CT, CC BY-SA 4.0); C2's is that of drawn necks."""
SIZE_SD = 0.095
"""Standard deviation of a person's size, as a part of it, from the same key points."""
HEIGHT_SD = 0.05
"""Of one height against its person's size, likewise; C2's is OWN_SD."""
C2_SD = 0.12
OTHER_COUNT = 0.005
"""Chance of six cervical vertebrae, and of eight."""


def transitions() -> np.ndarray:
    """(S, S): the chance that the vertebra below one state is each other state; rows sum to one."""
    found = np.eye(len(STATES), k=1)
    at = {state: number for number, state in enumerate(STATES)}
    found[at["C6"]] = 0
    found[at["C6"], [at["C7"], at["T1"]]] = 1 - OTHER_COUNT, OTHER_COUNT
    found[at["C7"]] = 0
    found[at["C7"], [at["T1"], at["C8"]]] = 1 - OTHER_COUNT, OTHER_COUNT
    found[at["T"], at["T"]] = 1
    return found
