"""Scans whose header turns the patient round: turned back for the networks, and said beside the mask."""

from pathlib import Path

import numpy as np

from common.outputs.notices import json_beside
from common.outputs.store import read_json
from common.resample import canonical
from common.volume import Volume

AXES = {"forward": 1, "up": 2}
"""Direction -> axis of a canonical array that runs along it."""
KEY = "turned"
"""Of the JSON beside a mask: the directions in which its scan was turned round before it was segmented."""


def turned(volume: Volume, directions: tuple[str, ...]) -> Volume:
    """The same voxels with axes nearest to R, A, S, in the opposite order along `directions` (of `AXES`); the affine
    stays, so that what was up is down. Done twice, nothing is changed but the order of the axes."""
    scan = canonical(volume)
    return Volume(np.flip(scan.array, tuple(AXES[name] for name in directions)), scan.affine, scan.notices)


def turned_beside(mask: Path) -> tuple[str, ...]:
    """What the JSON beside a mask says of its scan; () where there is none, or it says nothing of this."""
    try:
        said = read_json(json_beside(mask))[KEY]
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    return tuple(name for name in AXES if name in said) if isinstance(said, list) else ()
