"""What else each level of a mask may be: read from the JSON beside it, and as a matrix over the levels."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from common.labels import LEVELS
from common.outputs.notices import json_beside
from common.outputs.store import read_json

Alternatives = Mapping[str, Mapping[str, float]]
"""Level in the mask -> name -> probability that it is that vertebra, such as {"C4": {"C4": 0.9, "C5": 0.1}}."""


def alternatives_beside(mask: Path) -> dict[str, dict[str, float]]:
    """What the JSON beside a mask says of its levels; {} where there is none, or it says nothing of this, or what no
    probabilities are."""
    try:
        levels = read_json(json_beside(mask))["levels"]
        said = {level: dict(levels[level].get("alternatives") or {}) for level in LEVELS if level in levels}
        found = {level: {str(n): float(p) for n, p in names.items()} for level, names in said.items() if names}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    sums = [sum(names.values()) for names in found.values()]
    parts = [part for names in found.values() for part in names.values()]
    return found if all(0 <= p <= 1 for p in parts) and all(s <= 1.01 for s in sums) else {}


def chances(alternatives: Alternatives, named: np.ndarray) -> np.ndarray:
    """(7, 7): probability that what a mask calls one level (row) is each level (column); a level of which nothing is
    said is what it is called. named (7,) bool: levels that it has; the rows of others are 0. Rows sum to less than one
    where it may be no cervical vertebra. A column's sum is at most one, since no level is there twice."""
    found = np.diag(named.astype(float))
    for row, level in enumerate(LEVELS):
        if level in alternatives and named[row]:
            found[row] = [alternatives[level].get(name, 0.0) for name in LEVELS]
    return found / np.maximum(found.sum(axis=0), 1.0)
