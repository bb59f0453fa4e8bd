"""Where weights and predictions of stage 2 lie in a run's folder."""

from pathlib import Path

from common.config import DataSettings
from common.errors import ConfigError
from common.training.task import WEIGHTS
from stage2_classify.settings import ClassifySettings


def chosen_folds(data: DataSettings, settings: ClassifySettings) -> list[int]:
    """The folds that are trained and used; ConfigError for one that there isn't."""
    chosen = list(range(data.folds)) if settings.folds is None else list(settings.folds)
    wrong = [fold for fold in chosen if not 0 <= fold < data.folds]
    if wrong or not chosen:
        raise ConfigError(f"folds is {chosen}: expected some of 0..{data.folds - 1}")
    return chosen


def stage_folder(data: DataSettings, settings: ClassifySettings) -> Path:
    """Where weights and predictions lie: stage2/, for a kind that isn't the default stage2/<kind>/, so that kinds can
    be compared side by side."""
    kind = settings.network.kind
    return data.run / "stage2" if kind == "vertebra3d" else data.run / "stage2" / kind


def prediction_path(data: DataSettings, settings: ClassifySettings, uid: str) -> Path:
    """Where the prediction of a test study lies."""
    return stage_folder(data, settings) / "predictions" / f"{uid}.json"


def fold_folder(data: DataSettings, settings: ClassifySettings, fold: int) -> Path:
    return stage_folder(data, settings) / f"fold{fold}"


def weights_paths(data: DataSettings, settings: ClassifySettings) -> list[Path]:
    """The weights file of every chosen fold, whether or not it exists."""
    return [fold_folder(data, settings, fold) / WEIGHTS for fold in chosen_folds(data, settings)]
