"""Of a finished mask: how likely all of its levels are named rightly, and what else each could be."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from common.labels import CLASS_NAMES, LEVEL_IDS, LEVELS, THORACIC
from stage1_segment.inference.levels.chain import Chain, forward_backward, log_total
from stage1_segment.inference.levels.line import STEP_MM
from stage1_segment.inference.levels.model import LevelModel, chain_of
from stage1_segment.inference.levels.profile import Profile
from stage1_segment.inference.levels.states import STATES, VALUES

UNCERTAIN_BELOW = 0.8
"""A study's certainty from which on nothing is said."""
C2_BODY_MM = 10.0
"""From the disc below C2 to the middle of its body."""
SEEN_MM = 9.0
"""A vertebra that an end of the line cuts has a middle in view from this length on."""
MOST_ODDS = 12.0
"""More than a model of so few numbers can know."""
NAMED_FROM = 0.005
"""Names that are less likely aren't listed."""
BELOW = "T1"
"""What is said in place of C8: the vertebra below C7."""


@dataclass(frozen=True)
class LevelCertainty:
    """`study`: probability that all levels in view are named rightly. `levels`: level in the mask -> probability that
    it is named rightly: that what is so called is that vertebra, and that the middle of that vertebra's body is so
    called. `alternatives`: level in the mask -> name -> probability that what is so called is that vertebra; T stands
    for any below T2. Of a level without an entry nothing is known."""

    study: float
    levels: dict[str, float]
    alternatives: dict[str, dict[str, float]]

    def of(self, level: str) -> float | None:
        """The probability that a level is named rightly."""
        return self.levels.get(level)


def certainty_of(seen: Profile | None, model: LevelModel) -> LevelCertainty | None:
    """By the chain over all ways to divide the line into vertebrae; None where there is no line or no level."""
    if seen is None or not np.isin(seen.names, list(LEVEL_IDS.values())).any():
        return None
    chain = chain_of(seen, model)
    agree = agreeing(chain, seen.names)
    sums = forward_backward(chain, agree)
    odds = _log_odds(log_total(chain, agree) - sums.total)
    study = float(expit(model.intercept + model.slope * odds))
    named = _alternatives(sums.states, seen.names)
    share = dict(zip(STATES, sums.agreed / np.maximum(sums.count, 1e-9)))
    share["C1"] = share["C2"]
    levels = {level: round(min(others.get(level, 0.0), float(share[level])), 3) for level, others in named.items()}
    return LevelCertainty(round(study, 4), levels, named)


def log_odds(seen: Profile, model: LevelModel) -> float:
    """That all levels are named rightly, by the chain; before `intercept` and `slope`."""
    chain = chain_of(seen, model)
    return _log_odds(log_total(chain, agreeing(chain, seen.names)) - log_total(chain))


def likeliest_names(seen: Profile, model: LevelModel) -> np.ndarray:
    """(N,) mask values: the likeliest of each place of the line, by the chain."""
    return VALUES[forward_backward(chain_of(seen, model)).states.argmax(axis=1)]


def _log_odds(log: float) -> float:
    """Of a probability, from its log; within +-`MOST_ODDS`."""
    return float(np.clip(log - np.log(-np.expm1(min(log, -1e-9))), -MOST_ODDS, MOST_ODDS))


def agreeing(chain: Chain, names: np.ndarray) -> np.ndarray:
    """(N + 1, D, S) bool: whether the mask gives the middle of a vertebra's body, of d + 1 places, that ends before
    place n, the vertebra's own name; so does one whose middle isn't in view."""
    filled = nearest_names(names)
    count, longest = len(names), chain.length.shape[1] - 1
    ends, lengths = np.arange(count + 1)[:, None], np.arange(1, longest + 1)[None]
    of_body = filled[np.clip(ends - (lengths + 1) // 2, 0, count - 1)]
    of_axis = filled[np.clip(np.broadcast_to(ends - round(C2_BODY_MM / STEP_MM), of_body.shape), 0, count - 1)]
    found = np.where((np.array(STATES) == "C2")[None, None], of_axis[:, :, None], of_body[:, :, None])
    at_end = (ends == count) | (ends - lengths <= 0)
    unseen = at_end & (lengths * STEP_MM < SEEN_MM)
    return (found == VALUES) | unseen[:, :, None]


def nearest_names(names: np.ndarray) -> np.ndarray:
    """(N,) names with those of the nearest named place where there is none."""
    named = np.flatnonzero(names)
    places = np.arange(len(names))
    return names[named[np.abs(places[:, None] - named[None]).argmin(axis=1)]]


def body_place(names: np.ndarray, level: str) -> int | None:
    """The place of the middle of a level's body by the mask's names; None where the line doesn't meet it."""
    found = np.flatnonzero(names == LEVEL_IDS[level])
    if not len(found):
        return None
    if level == "C2":
        return int(max(found[-1] - round(C2_BODY_MM / STEP_MM), found[0]))
    return int(found[len(found) // 2])


def _alternatives(states: np.ndarray, names: np.ndarray) -> dict[str, dict[str, float]]:
    found = {}
    for level in LEVELS[1:]:
        place = body_place(names, level)
        if place is not None:
            found[level] = _listed(states[place])
    if "C2" in found:  # the ring about C2's dens is the level above it, whatever C2 is
        above = {CLASS_NAMES[number]: CLASS_NAMES[number - 1] for number in range(2, THORACIC)} | {BELOW: "C7"}
        found = {"C1": {above.get(name, name): part for name, part in found["C2"].items()}} | found
    return found


def _listed(parts: Sequence[float]) -> dict[str, float]:
    """State -> probability, the likeliest first, without what is next to impossible; they sum to one."""
    named: dict[str, float] = {}
    for state, part in zip(STATES, parts):
        name = BELOW if state == "C8" else state
        named[name] = named.get(name, 0.0) + float(part)
    kept = {name: part for name, part in sorted(named.items(), key=lambda item: -item[1]) if part >= NAMED_FROM}
    whole = sum(kept.values())
    return {name: round(part / whole, 3) for name, part in kept.items()}
