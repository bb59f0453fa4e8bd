"""How often the networks look where the fracture is: peaks of the attention against the boxes."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.competition_metric import bootstrap_share
from common.config import DataSettings
from common.dataset.competition import UID, Competition
from common.dataset.folds import kept_folds
from common.labels import LEVELS
from common.outputs import store
from common.progress import progress
from common.training.task import WEIGHTS
from common.workers.failing import Failed, attempt, say_failed
from stage2_classify.crops import files as crop_files
from stage2_classify.crops.cut import Crops
from stage2_classify.evaluation.attention import METHODS, Attention, attend
from stage2_classify.predictor import Predictor, load_predictor
from stage2_classify.run_folder import chosen_folds, fold_folder, stage_folder
from stage2_classify.settings import ClassifySettings

HIT_MM = 10
"""A peak nearer than this to a box lies on the fracture. Crops keep distances in whole mm, rounded down."""


@dataclass(frozen=True)
class Peak:
    """One fractured vertebra with a box in it or near: `distance_mm` method -> from the peak to the nearest box, whole
    mm; `chance_level`: the part of the vertebra's places that would have been a hit, `inside_chance_level`: that in a
    box."""

    uid: str
    level: str
    distance_mm: dict[str, int]
    chance_level: float
    inside_chance_level: float


def peaks_of(uid: str, crops: Crops, attention: Attention, labels: np.ndarray) -> list[Peak]:
    """The fractured levels of a study, `labels` (8,), that a box reaches; [] for a study without boxes."""
    if crops.distance is None:
        return []
    found = []
    for row, level in enumerate(LEVELS):
        distance, places = crops.distance[row], attention.vertebra_mask[row]
        if labels[row] == 0 or not places.any() or distance[places].min() >= HIT_MM:
            continue
        peaks = {method: int(distance[attention.peak(method, row)]) for method in METHODS}
        here = distance[places]
        found.append(Peak(uid, level, peaks, float((here < HIT_MM).mean()), float((here == 0).mean())))
    return found


def pointing_game(data: DataSettings, settings: ClassifySettings) -> dict[str, Any] | None:
    """Over the training studies with boxes, each looked at by the network that hasn't learned from it: see `summary`.
    None when there are no such studies, or when the networks, folds or crops here aren't those of out_of_fold.csv."""
    peaks = list(_held_out_peaks(data, settings))
    return summary(peaks) if peaks else None


def summary(peaks: list[Peak]) -> dict[str, Any]:
    """The part of fractured vertebrae whose peak is a hit, with an interval over studies. Plain JSON values."""
    uids = np.unique([peak.uid for peak in peaks], return_inverse=True)[1]
    wholes = np.bincount(uids)
    methods = {}
    for method in METHODS:
        distance = np.array([peak.distance_mm[method] for peak in peaks])
        hit = distance < HIT_MM
        methods[method] = {
            "hits": float(hit.mean()),
            "interval": bootstrap_share(np.bincount(uids, hit), wholes),
            "inside": float((distance == 0).mean()),
            "median_mm": float(np.median(distance)),
        }
    return {
        "vertebrae": len(peaks),
        "studies": len(wholes),
        "hit_mm": HIT_MM,
        "chance_level": float(np.mean([peak.chance_level for peak in peaks])),
        "inside_chance_level": float(np.mean([peak.inside_chance_level for peak in peaks])),
        "methods": methods,
    }


def _held_out_peaks(data: DataSettings, settings: ClassifySettings) -> Iterable[Peak]:
    competition = Competition.open(data.root)
    labels, boxed = competition.train_labels(), set(competition.boxes()[UID])
    folds = kept_folds(data.run / "folds.csv", labels, data.folds, data.fold_seed)
    answered_by = store.provenance_of(stage_folder(data, settings) / "out_of_fold.csv").get("weights", {})
    if folds is None:
        return
    for fold in chosen_folds(data, settings):
        weights = fold_folder(data, settings, fold) / WEIGHTS
        if not weights.is_file() or answered_by.get(str(fold)) != store.digest_file(weights):
            continue
        predictor = load_predictor(weights, settings.train.device, settings.decision.precision)
        paths = {uid: crop_files.path_of(data, "vertebra3d", uid) for uid in boxed & set(folds.index[folds == fold])}
        paths = {uid: path for uid, path in sorted(paths.items()) if crop_files.cut_as(path, predictor.settings.crops)}
        for uid, path in progress(paths.items(), len(paths), f"attention of fold {fold}"):

            def peak(uid: str = uid, path: Path = path, predictor: Predictor = predictor) -> list[Peak]:
                crops = crop_files.load(path)
                return peaks_of(uid, crops, attend([predictor], crops), labels.loc[uid].to_numpy())

            peaks = attempt(peak)
            if isinstance(peaks, Failed):
                say_failed(uid, f"no attention: {peaks.message}", peaks, data.run)
            else:
                yield from peaks
