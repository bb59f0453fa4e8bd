"""How often the networks look where the fracture is: peaks of the attention against the boxes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.config import DataSettings
from common.dataset.competition import UID, Competition
from common.dataset.folds import stored_folds
from common.labels import LEVELS
from common.progress import progress
from common.score import bootstrap
from stage2_classify import crop_files
from stage2_classify.attention import METHODS, Attention, attend
from stage2_classify.crops import Crops
from stage2_classify.run_folder import chosen_folds, fold_folder
from stage2_classify.settings import ClassifySettings

HIT_MM = 10.0
"""A peak this near to a box lies on the fracture."""


@dataclass(frozen=True)
class Look:
    """One fractured, boxed vertebra: `distance_mm` method -> from the peak to the nearest box; `by_chance`: the part of
    the vertebra's places that would have been a hit, `inside_by_chance`: the part that lies in a box."""

    uid: str
    level: str
    distance_mm: dict[str, float]
    by_chance: float
    inside_by_chance: float


def looks_of(uid: str, crops: Crops, attention: Attention, labels: np.ndarray) -> list[Look]:
    """The fractured levels of a study, `labels` (8,), that a box reaches; [] for a study without boxes."""
    if crops.distance is None:
        return []
    found = []
    for row, level in enumerate(LEVELS):
        distance = crops.distance[row].astype(float)
        places = attention.near[row]
        if labels[row] == 0 or not places.any() or distance[places].min() > HIT_MM:
            continue
        peaks = {method: float(distance[attention.peak(method, row)]) for method in METHODS}
        here = distance[places]
        found.append(Look(uid, level, peaks, _mean(here <= HIT_MM), _mean(here == 0)))
    return found


def attention_hits(data: DataSettings, settings: ClassifySettings) -> dict[str, Any] | None:
    """Over the training studies with boxes, each looked at by the network that hasn't learned from it: the part of
    fractured vertebrae whose peak is a hit, with an interval over studies. None when there are no such studies or
    networks. Plain JSON values."""
    if settings.network.kind != "vertebra3d":
        return None
    looks = list(_held_out_looks(data, settings))
    return summary(looks) if looks else None


def summary(looks: list[Look]) -> dict[str, Any]:
    """Looks of one study or more -> hits per method."""
    hits = {method: np.array([look.distance_mm[method] <= HIT_MM for look in looks]) for method in METHODS}
    return {
        "vertebrae": len(looks),
        "studies": len({look.uid for look in looks}),
        "hit_mm": HIT_MM,
        "by_chance": _mean(look.by_chance for look in looks),
        "inside_by_chance": _mean(look.inside_by_chance for look in looks),
        "methods": {
            method: {
                "hits": float(of.mean()),
                "interval": bootstrap(of.astype(float)),
                "inside": _mean(look.distance_mm[method] == 0 for look in looks),
                "median_mm": float(np.median([look.distance_mm[method] for look in looks])),
            }
            for method, of in hits.items()
        },
    }


def _held_out_looks(data: DataSettings, settings: ClassifySettings) -> Iterable[Look]:
    from stage2_classify.predictor import load_predictor

    competition = Competition.open(data.root)
    labels, boxed = competition.train_labels(), set(competition.boxes()[UID])
    folds = stored_folds(data.run / "folds.csv", labels, data.folds, data.fold_seed)
    for fold in chosen_folds(data, settings):
        weights = fold_folder(data, settings, fold) / "weights.safetensors"
        paths = {uid: crop_files.path_of(data, "vertebra3d", uid) for uid in labels.index if folds[uid] == fold}
        paths = {uid: path for uid, path in paths.items() if uid in boxed and path.exists()}
        if not (weights.is_file() and paths):
            continue
        predictor = load_predictor(weights, settings.train.device)
        for uid, path in progress(paths.items(), len(paths), f"attention of fold {fold}"):
            crops = crop_files.load(path)
            yield from looks_of(uid, crops, attend([predictor], crops), labels.loc[uid].to_numpy())


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
