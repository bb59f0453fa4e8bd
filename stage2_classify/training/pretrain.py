"""An encoder from all studies of a cohort, for other cohorts to begin with; see configs/pretraining.yaml."""

from pathlib import Path

from common.config import DataSettings
from common.dataset.competition import Competition
from common.errors import PARTLY_FAILED, ConfigError, DatasetError
from common.training.task import WEIGHTS
from stage2_classify.run_folder import stage_folder
from stage2_classify.settings import ClassifySettings
from stage2_classify.training import studies as training_studies
from stage2_classify.training.train_encoder import train_encoder


def pretrained(data: DataSettings, settings: ClassifySettings) -> Path:
    """Where `pretrain` leaves the encoder."""
    return stage_folder(data, settings) / "encoder" / WEIGHTS


def pretrain(data: DataSettings, settings: ClassifySettings) -> int:
    """Trains the encoder alone, on every training study; returns an exit code. Raises ConfigError for a network
    without encoder, DatasetError when no study is left."""
    if settings.network.kind == "naive":
        raise ConfigError("network.kind is naive, which has no encoder; choose vertebra3d or slices25d")
    competition = Competition.open(data.root)
    usable, failed = training_studies.usable_labels(competition, competition.train_labels(), data, settings)
    origin = training_studies.origin(usable, data, settings)
    examples = list(training_studies.load_examples(usable, data, settings).values())
    if not examples:
        raise DatasetError(f"{data.root}: no study with a vertebra in view; are the masks empty?")
    path = pretrained(data, settings)
    train_encoder(path.parent, origin, examples, settings)
    print(f"{path}: learned from {len(examples)} studies")
    return PARTLY_FAILED if failed else 0
