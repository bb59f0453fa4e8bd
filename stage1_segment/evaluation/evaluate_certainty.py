"""Measures the level count's certainty on hard necks that its fit hasn't seen, and what drawing borders again does."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from common.competition_metric import bootstrap
from stage1_segment.evaluation.calibrate_levels import DRIFTED, as_they_are, certainties, log_losses
from stage1_segment.evaluation.certainty_figures import draw_reliability, figures, per_100
from stage1_segment.evaluation.level_examples import Example, examples
from stage1_segment.evaluation.level_truth import named_rightly
from stage1_segment.inference.levels.certainty import likeliest_names
from stage1_segment.inference.levels.model import LevelModel


def evaluate_certainty(
    folder: Path, weights: Path, model: LevelModel, necks: range, seed: int, device: str = "auto",
    precision: str | None = None, picture: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Figures of masks before and after borders were drawn again, of each kind of neck, of masks with drifted borders;
    how many necks got no level at all, which are in none of the others; how many the chain's own likeliest names would
    get wrong; whether the calibration helps. `picture`: reliability as PNG. Raises WeightsError, CorruptFile."""
    given = examples(folder, seed, necks, weights, model, device, precision)
    own = as_they_are(given)
    undrawn = [example.undrawn for example in own]
    parts = {"before": undrawn, "after": own}
    parts |= {kind: [e for e in given if e.kind == kind] for kind in sorted({example.kind for example in given})}
    content: dict[str, Any] = {
        "necks": len(necks),
        "without_a_level_per_100": round(100 * (1 - len(own) / len(necks)), 1),
        "drawn_again": drawn_again(own),
        **{name: _figures(of, model) for name, of in parts.items() if of},
        "by_the_chains_names": {"wrong_per_100": per_100(np.array([not _chain_right(e, model) for e in own]))},
        "calibration": {"before": calibration_gain(undrawn, model), "after": calibration_gain(own, model)},
    }
    if picture is not None:
        drawn = {"as they are": own, "borders drifted": [example for example in given if example.kind == DRIFTED]}
        draw_reliability(picture, {name: (certainties(of, model), _right(of)) for name, of in drawn.items()})
    return content


def drawn_again(own: Sequence[Example]) -> dict[str, Any]:
    """Of all necks, what drawing borders again changed."""
    before, after = _right([example.undrawn for example in own]), _right(own)
    return {
        "necks": sum(example.before is not None for example in own),
        "wrong_per_100_before": per_100(~before),
        "wrong_per_100_after": per_100(~after),
        "became_right": int((~before & after).sum()),
        "became_wrong": int((before & ~after).sum()),
    }


def calibration_gain(own: Sequence[Example], model: LevelModel) -> dict[str, Any]:
    """Log loss of the chain's own odds and of the certainty, and the interval of the mean difference (above 0: the
    certainty is better), by bootstrap over necks."""
    chain, said = (log_losses(own, of) for of in (replace(model, intercept=0.0, slope=1.0), model))
    return {
        "log_loss_of_the_chain": round(float(chain.mean()), 4),
        "log_loss": round(float(said.mean()), 4),
        "gain_95": [round(bound, 4) for bound in bootstrap(chain - said)],
    }


def _figures(of: Sequence[Example], model: LevelModel) -> dict[str, Any]:
    return figures(certainties(of, model).tolist(), _right(of).tolist())


def _right(of: Sequence[Example]) -> np.ndarray:
    return np.array([example.right for example in of], bool)


def _chain_right(example: Example, model: LevelModel) -> bool:
    return named_rightly(likeliest_names(example.seen, model).astype(np.uint8), example.truth)
