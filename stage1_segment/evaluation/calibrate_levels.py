"""Fits the few numbers of the certainty of the level count to hard necks, and measures it on others."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from common.errors import ConfigError
from common.outputs import store
from stage1_segment.evaluation.certainty_figures import draw_reliability, figures
from stage1_segment.evaluation.level_examples import Example, examples
from stage1_segment.evaluation.level_truth import named_rightly
from stage1_segment.inference.levels.certainty import log_odds
from stage1_segment.inference.levels.chain import forward_backward
from stage1_segment.inference.levels.model import LevelModel, chain_of, path_beside
from stage1_segment.inference.levels.states import VALUES

FITTED = ("classes", "doubt", "disc_hu", "disc_background", "height_sd")
SHRUNK = 0.05
"""Weight of the squared distance of each log parameter from where it began, against the mean log loss."""
TRIES = 60
"""Evaluations of the likelihood, at most."""


def calibrate_levels(
    folder: Path, weights: Path, necks: int, seed: int, device: str = "auto", precision: str | None = None,
    output: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Fits to `necks` hard necks, made or found in `folder`, and writes `output` (None: beside the weights): the
    parameters, what they were fitted on, and the log loss before and after. Raises WeightsError, ConfigError."""
    given = examples(folder, seed, range(necks), weights, device, precision)
    if len({example.right for example in given}) < 2:
        raise ConfigError(f"{len(given)} hard necks, all right or all wrong: nothing to fit; ask for more (--necks)")
    start = LevelModel()
    model = fit(given, start)
    content = {
        "parameters": {name: round(value, 5) for name, value in model.to_json().items()},
        "fitted": {
            "weights": store.digest_file(weights), "precision": precision or "of the weights", "seed": seed,
            "necks": necks, "examples": len(given),
            "wrong": sum(not example.right for example in given),
            "log_loss": [round(log_loss(given, of), 4) for of in (start, model)],
            "command": f"python -m stage1_segment calibrate-levels --necks {necks} --seed {seed}",
        },
    }  # fmt: skip
    store.write_json(output or path_beside(weights), content)
    return content


def fit(given: Sequence[Example], start: LevelModel) -> LevelModel:
    """By maximum likelihood of which masks are right, near `start`: the logs of `FITTED` by Nelder and Mead, and
    within each, intercept and slope by logistic regression."""
    first = np.log([getattr(start, name) for name in FITTED])

    def model_of(logs: np.ndarray) -> LevelModel:
        named = dict(zip(FITTED, map(float, np.exp(np.clip(logs, first - 2, first + 2)))))
        return with_line(replace(start, **named), given)

    def cost(logs: np.ndarray) -> float:
        return log_loss(given, model_of(logs)) + SHRUNK * float(((logs - first) ** 2).mean())

    steps = np.vstack([first, first + 0.5 * np.eye(len(first))])
    found = minimize(cost, first, method="Nelder-Mead", options={"maxfev": TRIES, "initial_simplex": steps})
    return model_of(found.x)


def with_line(model: LevelModel, given: Sequence[Example]) -> LevelModel:
    """The model with the intercept and the slope (above 0) that fit best which masks are right."""
    odds, right = _odds(given, model), np.array([example.right for example in given], float)

    def cost(line: np.ndarray) -> float:
        said = line[0] + np.exp(line[1]) * odds
        return float(np.logaddexp(0, -said) @ right + np.logaddexp(0, said) @ (1 - right)) + 0.5 * float(line @ line)

    intercept, slope = minimize(cost, np.zeros(2), method="BFGS").x
    return replace(model, intercept=float(intercept), slope=float(np.exp(slope)))


def log_loss(given: Sequence[Example], model: LevelModel) -> float:
    """Mean, in nats, of the study's certainty."""
    p = np.clip(certainties(given, model), 1e-6, 1 - 1e-6)
    right = np.array([example.right for example in given])
    return float(-np.log(np.where(right, p, 1 - p)).mean())


def certainties(given: Sequence[Example], model: LevelModel) -> np.ndarray:
    """(n,): each study's certainty."""
    return expit(model.intercept + model.slope * _odds(given, model))


def evaluate_certainty(
    folder: Path, weights: Path, model: LevelModel, necks: range, seed: int, device: str = "auto",
    precision: str | None = None, picture: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Figures on hard necks of these numbers, which the fit hasn't seen: of the necks as they are, of masks with
    drifted borders, of each kind; and how many the chain's own likeliest names would get wrong. `picture`: reliability
    as PNG."""
    given = examples(folder, seed, necks, weights, device, precision)
    certain, right = certainties(given, model), np.array([example.right for example in given])
    kinds = np.array([example.kind for example in given])
    parts = {"all": kinds != "", "as they are": kinds != "drifted"} | {kind: kinds == kind for kind in np.unique(kinds)}
    content: dict[str, Any] = {
        name: figures(certain[part].tolist(), right[part].tolist()) for name, part in parts.items() if part.any()
    }
    renamed = [example for example in given if example.kind != "drifted"]
    content["by the chain's names"] = {
        "wrong_per_100": round(100 * float(np.mean([not _chain_right(example, model) for example in renamed])), 1)
    }
    if picture is not None:
        own = parts["as they are"]
        draw_reliability(
            picture, {"as they are": (certain[own], right[own]), "borders drifted": (certain[~own], right[~own])}
        )
    return content


def _chain_right(example: Example, model: LevelModel) -> bool:
    names = VALUES[forward_backward(chain_of(example.seen, model)).states.argmax(axis=1)]
    return named_rightly(names.astype(np.uint8), example.truth)


def _odds(given: Sequence[Example], model: LevelModel) -> np.ndarray:
    return np.array([log_odds(example.seen, model) for example in given])
