"""What the chain of vertebrae weighs: the network's word, heights, and discs seen in the scan; few fitted numbers."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.special import log_ndtr

from common.errors import WeightsError
from common.outputs import store
from stage1_segment.inference.levels.chain import NEVER, Chain
from stage1_segment.inference.levels.line import STEP_MM
from stage1_segment.inference.levels.profile import Profile
from stage1_segment.inference.levels.states import C2_SD, HEIGHT_MM, SIZE_SD, STATES, VALUES, transitions

SIZE_STEPS = np.arange(-3, 4)
SIZES = np.exp(SIZE_SD * SIZE_STEPS)
"""Of a person against the average adult: what is summed over, in steps of a standard deviation."""
LONGEST_MM = 63.0
CUT_MM = 6.0
"""A line that begins this close to the scan's upper end begins where the scan cuts it."""
NOT_THE_TOP = 0.02
"""Chance that the topmost bone found isn't C1's and C2's, though the scan goes on above it."""
DIP_MM, BODY_MM = 1.5, 6.0
"""Standard deviations of two Gaussians: a disc is a dip of the narrow mean below the wide one."""
LEAST_HU, LEAST_BACKGROUND = 25.0, 0.05
"""Smallest standard deviation along the line that dips are measured in: flatter lines show no disc."""


@dataclass(frozen=True)
class LevelModel:
    """`classes`: weight of the network's log probabilities, per mm, far below one, since it errs in a study as a
    whole; `doubt`: chance that a class of it says nothing; `disc_hu`, `disc_background`: log odds of a boundary for
    one standard deviation of a dip in density, and of a rise in the network's background; `height_sd`: of the log of
    a height against the person's size; `intercept`, `slope`: from the chain's log odds of a study to its certainty."""

    classes: float = 0.03
    doubt: float = 0.03
    disc_hu: float = 1.0
    disc_background: float = 1.0
    height_sd: float = 0.08
    intercept: float = 0.0
    slope: float = 1.0

    @classmethod
    def read(cls, path: Path) -> "LevelModel":
        """The file that `calibrate-levels` writes. Raises WeightsError."""
        try:
            given = {name: float(value) for name, value in store.read_json(path)["parameters"].items()}
            model = cls(**given)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise WeightsError(
                f"{path}: no parameters of the level count ({error}); make it again with "
                "`python -m stage1_segment calibrate-levels`"
            ) from None
        if not np.isfinite(list(given.values())).all() or min(model.classes, model.doubt, model.height_sd) <= 0:
            raise WeightsError(f"{path}: expected finite numbers, weights above 0; make it again by calibrate-levels")
        return model

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def path_beside(weights: Path) -> Path:
    """Where the parameters for a network lie: `pretrained.safetensors` -> `pretrained.levels.json`."""
    return weights.with_suffix(".levels.json")


def model_beside(weights: Path) -> LevelModel | None:
    """The parameters for a network; None where there are none. Raises WeightsError, also for those of others."""
    path = path_beside(weights)
    if not path.is_file():
        return None
    model = LevelModel.read(path)
    theirs = store.read_json(path).get("fitted", {}).get("weights")
    if theirs is not None and theirs != store.digest_file(weights):
        raise WeightsError(f"{path}: for other weights than {weights.name}; run `calibrate-levels` again, or remove it")
    return model


def digest_beside(weights: Path) -> str | None:
    """Of the file of `model_beside`; None where there is none."""
    path = path_beside(weights)
    return store.digest_file(path) if path.is_file() else None


def chain_of(seen: Profile, model: LevelModel) -> Chain:
    """The chain of what is seen along a line."""
    places = STEP_MM * model.classes * _log_classes(seen.classes, model.doubt)
    length, survival = _lengths(model)
    topmost = _start(seen.above_mm < CUT_MM)
    first = np.logaddexp(topmost[0] + length, topmost[1] + survival - np.log(HEIGHT_MM / STEP_MM))
    with np.errstate(divide="ignore"):
        step = np.maximum(np.log(transitions()), NEVER)
    start = np.zeros(len(STATES))
    return Chain(places, discs(seen, model), length, first, survival, start, step, -0.5 * SIZE_STEPS**2)


def discs(seen: Profile, model: LevelModel) -> np.ndarray:
    """(N + 1,): log odds that a disc, rather than a body, lies between each place and the one before it."""
    dips = model.disc_hu * dip(seen.hu, LEAST_HU) + model.disc_background * dip(-seen.classes[:, 0], LEAST_BACKGROUND)
    return np.concatenate([[0.0], (dips[1:] + dips[:-1]) / 2, [0.0]])


def dip(values: np.ndarray, least: float) -> np.ndarray:
    """(N,): how far each value lies below those a body's half height away, in standard deviations along the line,
    -1..3. NaN: not known, no dip."""
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values))
    whole = np.interp(np.arange(len(values)), np.flatnonzero(known), values[known])
    narrow, wide = (ndimage.gaussian_filter1d(whole, sd / STEP_MM, mode="nearest") for sd in (DIP_MM, BODY_MM))
    low, high = np.percentile(whole - wide, [16, 84])
    return np.clip((wide - narrow) / max((high - low) / 2, least), -1, 3)


def _log_classes(classes: np.ndarray, doubt: float) -> np.ndarray:
    """(N, S): log of the network's probability of each state among vertebrae, times the bone's part of each place."""
    bone = classes[:, 1:].sum(axis=1)
    share = classes / np.maximum(bone, 1e-6)[:, None]
    share[:, 2] += share[:, 1]
    of_state = share[:, VALUES]
    eighth = STATES.index("C8")
    of_state[:, eighth] = (share[:, 7] + share[:, 8]) / 2
    return bone[:, None] * np.log((1 - doubt) * of_state + doubt / 8)


def _lengths(model: LevelModel) -> tuple[np.ndarray, np.ndarray]:
    """(H, D + 1, S): log density of whole vertebrae of d places, by a normal distribution of the log of their height;
    and the log of the chance that one is longer."""
    mm = STEP_MM * np.maximum(np.arange(round(LONGEST_MM / STEP_MM) + 1), 0.5)
    spread = np.where(np.array(STATES) == "C2", max(C2_SD, model.height_sd), model.height_sd)
    away = (np.log(mm)[None, :, None] - np.log(SIZES[:, None] * HEIGHT_MM)[:, None]) / spread
    density = -0.5 * away**2 - np.log(spread * mm[:, None] / STEP_MM * np.sqrt(2 * np.pi))
    return np.maximum(density, NEVER), np.maximum(log_ndtr(-away), NEVER)


def _start(cut: bool) -> tuple[np.ndarray, np.ndarray]:
    """(S,), (S,): log of the chance of each state to be the topmost, whole, and cut."""
    whole, part = np.full(len(STATES), NEVER), np.full(len(STATES), -np.log(len(STATES)))
    if not cut:
        whole[0] = np.log(1 - NOT_THE_TOP)
        part = part + np.log(NOT_THE_TOP)
    return whole, part
