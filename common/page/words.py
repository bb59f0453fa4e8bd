"""What a page says in words: the one thing that matters, the seven levels, notices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.commandline import NOT_MEDICAL
from common.corrections.correction import KEY, sentences
from common.labels import LEVELS, OVERALL
from common.operating_point import chances, judged_levels, operating_point, suspected_levels

CERTAIN_FROM = 0.8
"""Below it a level's name is doubted."""
DOUBTED_FROM = 0.5
"""From this part of the operating point on a fracture isn't suspected, but it isn't denied in green either."""
NOT_EXAMINED = "Not examined for fractures"


@dataclass(frozen=True)
class LevelWords:
    """One level: `seen` in the mask; `chance`, such as "64 %", "" where nothing can be said; `probability` 0..1 or
    None; `suspected`; `certainty` of the level itself, such as "98 %", or ""; `doubted`: it is below `CERTAIN_FROM`;
    `alternatives`: what else it may be, such as "C5 90 %, C6 10 %"; `flags`; `place` (3,) RAS mm, where to
    look, or None."""

    name: str
    seen: bool
    chance: str
    probability: float | None
    suspected: bool
    certainty: str
    doubted: bool
    alternatives: str
    flags: tuple[str, ...]
    place: tuple[float, ...] | None


@dataclass(frozen=True)
class Words:
    """`headline`: the one thing that matters, in words; `explained`: a sentence below it; `state`: suspected,
    indeterminate, clear or unknown; `corrected`: what a person has corrected of the mask, a sentence each; `kind`: what
    the numbers are; `operating_point`, 0..1; `notices`: a sentence each; `banner`: what must always be read."""

    headline: str
    explained: str
    state: str
    corrected: tuple[str, ...]
    kind: str
    operating_point: float
    levels: tuple[LevelWords, ...]
    notices: tuple[str, ...]
    banner: str

    @property
    def suspected_from(self) -> str:
        """The operating point, such as "50 %"."""
        return percent(self.operating_point)


def words(
    centres: Mapping[str, Sequence[float] | np.ndarray],
    result: Mapping[str, Any] | None,
    about_mask: Mapping[str, Any] | None,
) -> Words:
    """`centres`: level in the mask -> RAS mm; a suspected level is looked at where its evidence is largest. `result`:
    the content of result.json, None without a stage 2. `about_mask`: the content of the mask's JSON file, None without
    one."""
    said = dict((result or {}).get("flags") or {})
    of_mask = dict((about_mask or {}).get("levels") or {})
    judged, suspected = judged_levels(result, centres), suspected_levels(result, centres)
    peaks = dict((result or {}).get("evidence_peaks") or {})
    places = {**centres, **{name: peaks[name]["ras_mm"] for name in suspected if name in peaks}}
    levels = tuple(
        _level(
            name, places.get(name), judged.get(name), name in suspected, said.get(name, ()), of_mask.get(name) or {}
        )
        for name in LEVELS
    )
    corrected = sentences((about_mask or {}).get(KEY))
    notices = [*((about_mask or {}).get("notices") or ()), *((result or {}).get("notices") or ())]
    notices = [text for text in notices if text not in corrected]
    headline, explained, state = _headline(chances(result).get(OVERALL), levels, result)
    return Words(
        headline,
        explained,
        state,
        corrected,
        _kind(result),
        operating_point(result),
        levels,
        tuple(dict.fromkeys(notices)),
        str((result or {}).get("notice") or NOT_MEDICAL),
    )


def percent(value: float) -> str:
    """0.123 -> "12 %", held together by hard spaces; what would be rounded to never or to certainty is not."""
    text = "< 1 %" if 0 < value < 0.01 else "> 99 %" if 0.99 < value < 1 else f"{100 * value:.0f} %"
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _kind(result: Mapping[str, Any] | None) -> str:
    if result is None:
        return ""
    return "calibrated probability" if result.get("calibrated") else "probability, not calibrated"


def _level(
    name: str,
    place: Sequence[float] | np.ndarray | None,
    value: float | None,
    suspected: bool,
    flags: Sequence[str],
    of_mask: Mapping[str, Any],
) -> LevelWords:
    certainty = of_mask.get("certainty")
    doubted = certainty is not None and float(certainty) < CERTAIN_FROM
    others = dict(of_mask.get("alternatives") or {})
    certainty = of_mask.get("confidence") if certainty is None else certainty  # of a network that isn't calibrated
    return LevelWords(
        name,
        place is not None,
        "" if value is None else percent(value),
        value,
        suspected,
        "" if certainty is None else percent(float(certainty)),
        doubted,
        ", ".join(f"{name} {percent(float(part))}" for name, part in others.items()) if doubted else "",
        tuple(dict.fromkeys([*(of_mask.get("flags") or ()), *flags])),
        None if place is None else tuple(round(float(x), 2) for x in place),
    )


def _headline(
    overall: float | None, levels: Sequence[LevelWords], result: Mapping[str, Any] | None
) -> tuple[str, str, str]:
    if not any(level.seen for level in levels):
        return "No cervical vertebra in view", "Nothing can be said about fractures.", "unknown"
    if result is None or overall is None:
        return NOT_EXAMINED, "There is no result of stage 2: this page shows the mask alone.", "unknown"
    suspected = [level for level in levels if level.suspected]
    kind = "Calibrated probability" if result.get("calibrated") else "Probability (not calibrated)"
    chance = f"{kind} of any fracture: {percent(overall)}."
    missing = [level.name for level in levels if not level.seen]
    more = f" Not in view: {', '.join(missing)}." if missing else ""
    unsure = [level.name for level in levels if level.seen and level.probability is None]
    if len(unsure) + len(missing) == len(levels):
        return NOT_EXAMINED, f"None of the levels in view could be judged; see their flags.{more}", "unknown"
    more += f" Not judged: {', '.join(unsure)}." if unsure else ""
    if suspected:
        where = ", ".join(f"{level.name} ({level.chance})" for level in suspected)
        return "Fracture suspected", f"{chance} At {where}.{more}", "suspected"
    # Several levels may each be unlikely, and one of them likely.
    first, enough = max(levels, key=lambda level: level.probability or 0), operating_point(result)
    where = f"Most likely at {first.name} ({first.chance})."
    if overall >= enough:
        return "Fracture suspected", f"{chance} {where}{more}", "suspected"
    if overall >= DOUBTED_FROM * enough:
        return "Indeterminate", f"{chance} {where} Suspected from {percent(enough)} on.{more}", "indeterminate"
    return "No fracture suspected", f"{chance}{more}", "clear"
