"""How often levels are named where there is no neck, and kept where there is one: `stage1_segment no-neck`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from scipy.stats import binomtest

from common.device import prediction_precision
from common.labels import LEVEL_IDS
from common.outputs import store
from common.progress import progress
from stage1_segment.evaluation.no_neck_volumes import KINDS, neck_beside_a_tube
from stage1_segment.settings import PredictSettings

if TYPE_CHECKING:
    from common.volume import Volume
    from stage1_segment.inference.segmenter import Segmenter

NECK = "soft tissue beside a neck"
FOUND = 0.5
"""Dice from which a level counts as found; the network's outlines of synthetic bone have 0.85 and more."""


def measure_no_neck(
    weights: Path,
    volumes: int,
    seed: int,
    device: str = "auto",
    predict: PredictSettings | None = None,
    precision: str | None = None,
    kinds: list[str] | None = None,
) -> dict[str, Any]:
    """Segments `volumes` random volumes of each kind (None: all) and counts those that go wrong (any cervical level
    where there is no neck; beside a neck, a level that isn't found or a label that doesn't lie on its spine), and of
    these the `silent` ones, about which no notice says anything. Volume number n of a kind depends on (seed, kind, n)
    alone. `precision`: another one than that of `predict`. Raises WeightsError, ConfigError."""
    from stage1_segment.inference.segmenter import Segmenter

    segmenter = Segmenter.load(weights, device, predict)
    if precision is not None:
        changed = {"precision": prediction_precision(precision, device)}
        segmenter = replace(segmenter, predict=segmenter.predict.model_copy(update=changed))
    found = {}
    for number, kind in enumerate([*KINDS, NECK]):
        if kinds is None or kind in kinds:
            runs = (np.random.default_rng([seed, number, n]) for n in range(volumes))
            told = {n: try_volume(kind, rng, segmenter) for n, rng in enumerate(progress(runs, volumes, kind))}
            wrong = [n for n, notices in told.items() if notices is not None]
            interval = binomtest(len(wrong), volumes).proportion_ci(method="wilson")
            ends = [round(float(interval.low), 4), round(float(interval.high), 4)]
            silent = sum(not told[n] for n in wrong)
            found[kind] = {"volumes": volumes, "wrong": len(wrong), "interval": ends, "silent": silent, "which": wrong}
    return {
        "weights": store.digest_file(weights),
        "seed": seed,
        "precision": segmenter.predict.precision,
        "kinds": found,
    }


def table(result: dict[str, Any]) -> str:
    """A line per kind: how many went wrong, how many of these without a word, the rate and its 95 % interval
    (Wilson's)."""
    lines = [f"{'kind':28}{'volumes':>8}{'wrong':>7}{'silent':>8}{'rate':>8}   95 % interval   ({result['precision']})"]
    for kind, row in result["kinds"].items():
        low, high = (f"{100 * end:.1f} %" for end in row["interval"])
        rate = f"{100 * row['wrong'] / row['volumes']:.1f} %"
        lines.append(f"{kind:28}{row['volumes']:>8}{row['wrong']:>7}{row['silent']:>8}{rate:>8}   {low} to {high}")
    return "\n".join(lines)


def try_volume(kind: str, rng: np.random.Generator, segmenter: "Segmenter") -> tuple[str, ...] | None:
    """None when a volume is predicted rightly; else what `predict` would say about it, () for not a word."""
    from stage1_segment.inference.anatomy.orientation import judge
    from stage1_segment.inference.segmenter import segment

    ct, truth = neck_beside_a_tube(rng) if kind == NECK else (KINDS[kind](rng), None)
    prediction = segment(ct, segmenter)
    named = np.isin(prediction.mask.array, list(LEVEL_IDS.values())).any()
    if is_kept(prediction.mask, truth) if truth is not None else not named:
        return None
    return (*prediction.notices, *judge(ct, prediction.mask).sentences)


def is_kept(prediction: "Volume", truth: "Volume") -> bool:
    """Whether every cervical level of the truth is found, and at most 5 % of the cervical voxels lie off its bone
    (vertebrae of any level, 5 mm around them included). Masks on one grid."""
    levels = list(LEVEL_IDS.values())
    for level in np.intersect1d(levels, truth.array):
        a, t = prediction.array == level, truth.array == level
        if 2 * np.count_nonzero(a & t) < FOUND * (np.count_nonzero(a) + np.count_nonzero(t)):
            return False
    near = ndimage.distance_transform_edt(truth.array == 0, sampling=truth.spacing) <= 5.0
    named = np.isin(prediction.array, levels)
    return bool(np.count_nonzero(named & ~near) <= 0.05 * np.count_nonzero(named))
