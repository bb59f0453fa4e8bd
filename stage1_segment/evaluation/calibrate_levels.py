"""Fits the certainty of the level count to hard necks: the line from the chain's log odds to a probability."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from common.errors import ConfigError
from common.outputs import store
from stage1_segment.evaluation.level_examples import Example, examples
from stage1_segment.inference.levels.certainty import UNCERTAIN_BELOW, log_odds
from stage1_segment.inference.levels.model import LevelModel, path_beside

DRIFTED = "drifted"


def calibrate_levels(
    folder: Path, weights: Path, necks: int, seed: int, device: str = "auto", precision: str | None = None,
    output: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Fits the slope to `necks` hard necks, made or found in `folder`, as they are before borders are drawn
    again, and writes `output` (None: beside the weights): all parameters, what they were fitted on, and the log loss
    before and after. The chain's own numbers stay as the file beside the weights has them. Raises WeightsError,
    ConfigError."""
    beside = path_beside(weights)
    chain = replace(LevelModel.read(beside) if beside.is_file() else LevelModel(), intercept=0.0, slope=1.0)
    found = examples(folder, seed, range(necks), weights, chain, device, precision)
    given = [example.undrawn for example in as_they_are(found)]
    if len({example.right for example in given}) < 2:
        raise ConfigError(f"{len(given)} hard necks, all right or all wrong: nothing to fit; ask for more (--necks)")
    model = with_line(chain, given)
    content = {
        "parameters": {name: round(value, 5) for name, value in model.to_json().items()},
        "fitted": {
            "what": "slope and intercept; the others are set by hand, see docs/levels.md",
            "weights": store.digest_file(weights), "precision": precision or "of the weights", "seed": seed,
            "necks": necks, "named": len(given),
            "wrong": sum(not example.right for example in given),
            "log_loss": [round(float(log_losses(given, of).mean()), 4) for of in (chain, model)],
            "command": f"python -m stage1_segment calibrate-levels --necks {necks} --seed {seed}"
            + (f" --precision {precision}" if precision else ""),
        },
    }  # fmt: skip
    store.write_json(output or beside, content)
    return content


def as_they_are(given: Sequence[Example]) -> list[Example]:
    """Without the masks whose borders were made to drift."""
    return [example for example in given if example.kind != DRIFTED]


def with_line(model: LevelModel, given: Sequence[Example]) -> LevelModel:
    """The model with the slope (above 0) that fits best which masks are right, near 1, and the intercept at which
    `UNCERTAIN_BELOW` stays what it is: a calibration says how sure, not which studies are doubted."""
    odds, right = _odds(given, model), np.array([example.right for example in given], float)
    fixed = float(logit(UNCERTAIN_BELOW))

    def cost(log_slope: float) -> float:
        said = fixed + np.exp(log_slope) * (odds - fixed)
        loss = right @ np.logaddexp(0, -said) + (1 - right) @ np.logaddexp(0, said)
        return float(loss) + 0.5 * log_slope**2

    slope = float(np.exp(minimize_scalar(cost).x))
    return replace(model, intercept=fixed * (1 - slope), slope=slope)


def certainties(given: Sequence[Example], model: LevelModel) -> np.ndarray:
    """(n,): each study's certainty."""
    return expit(model.intercept + model.slope * _odds(given, model))


def log_losses(given: Sequence[Example], model: LevelModel) -> np.ndarray:
    """(n,): of each study's certainty, in nats."""
    p = np.clip(certainties(given, model), 1e-6, 1 - 1e-6)
    return -np.log(np.where([example.right for example in given], p, 1 - p))


def _odds(given: Sequence[Example], model: LevelModel) -> np.ndarray:
    """Of the masks before borders were drawn again, whose certainty stays."""
    return np.array([log_odds(example.undrawn.seen, model) for example in given])
