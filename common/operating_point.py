"""From where on a fracture is called suspected: one operating point for the page, DICOM SEG and SR."""

from collections.abc import Collection, Mapping
from typing import Any

from common.labels import LEVELS

OPERATING_POINT = 0.5
"""More likely than not, where the probability is calibrated. `classify predict --operating-point` sets another."""


def operating_point(result: Mapping[str, Any] | None) -> float:
    """That of a result.json's content; `OPERATING_POINT` where it names none, as older ones do."""
    return float((result or {}).get("operating_point", OPERATING_POINT))


def chances(result: Mapping[str, Any] | None) -> dict[str, float]:
    """Target -> how likely a fracture is, by a result.json's content; what the score rewards, where nothing is
    calibrated; {} without a result."""
    return dict((result or {}).get("calibrated") or (result or {}).get("probabilities") or {})


def judged_levels(result: Mapping[str, Any] | None, in_view: Collection[str]) -> dict[str, float]:
    """Level -> how likely a fracture is, of those `in_view` that were judged; of the others it is only a prior."""
    found, left_out = chances(result), set((result or {}).get("not_judged") or ())
    return {name: found[name] for name in LEVELS if name in in_view and name in found and name not in left_out}


def suspected_levels(result: Mapping[str, Any] | None, in_view: Collection[str]) -> tuple[str, ...]:
    """The judged levels at the operating point or above it."""
    least = operating_point(result)
    return tuple(name for name, value in judged_levels(result, in_view).items() if value >= least)
