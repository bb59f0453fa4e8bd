"""Whether a study resembles what networks have learned from: its facts against ranges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from common.errors import StudyError

UNKNOWN = "not known what these weights learned from"
FACTS = {
    "voxel_across_mm": "voxel across, mm",
    "voxel_up_mm": "voxel up, mm",
    "field_of_view_mm": "field of view, mm",
    "noise_hu": "noise, HU",
    "lowest_hu": "lowest HU",
    "highest_hu": "highest HU",
}
"""Facts that ranges are about, and what a table calls them."""


@dataclass(frozen=True)
class Learned:
    """Of the scans that weights learned from, a `fact` (key of `FACTS`) lay between `low` and `high`."""

    fact: str
    low: float
    high: float


@dataclass(frozen=True)
class StageView:
    """What a stage has to say of a study: `weights` that it would use; `learned`, from what, () where that isn't known;
    `expect`: a sentence each; `levels`: level -> `state` and `flags`, {} where nothing was segmented;
    `error`: with which a prediction would end here."""

    weights: str
    learned: tuple[Learned, ...]
    expect: tuple[str, ...]
    levels: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    error: StudyError | None = None


def likeness(facts: Mapping[str, Any], learned: Sequence[Learned]) -> list[dict[str, Any]]:
    """A row for each range: `fact`, `found`, `low`, `high`, and `like`: whether it lies within (None: unknown)."""
    rows = []
    for one in learned:
        found = facts.get(one.fact)
        like = None if found is None else one.low <= found <= one.high
        rows.append({"fact": one.fact, "found": found, "low": one.low, "high": one.high, "like": like})
    return rows
