"""The encoder trained by itself: within a fold, or from all studies of a cohort (configs/pretraining.yaml)."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.config import DataSettings
from common.dataset.competition import Competition
from common.errors import PARTLY_FAILED, ConfigError, DatasetError
from common.training import train as training
from common.training.task import WEIGHTS
from stage2_classify.pretrained.encoder import KIND, description
from stage2_classify.run_folder import stage_folder
from stage2_classify.settings import ClassifySettings
from stage2_classify.training import studies as training_studies

if TYPE_CHECKING:
    from torch import Tensor

    from stage2_classify.training.samples import Example


def train_encoder(
    folder: Path, provenance: dict[str, Any], examples: "list[Example]", settings: ClassifySettings
) -> "dict[str, Tensor]":
    """Trains an encoder in `folder` from what `init_path` names, unless that is done; returns its weights."""
    from common.training.weights import load_weights
    from stage2_classify.training.encoder_task import EncoderTask

    if not training.is_current(folder, settings.encoder, provenance):
        training.train(EncoderTask(examples, settings), settings.encoder, folder, provenance, description(settings))
    return load_weights(folder / WEIGHTS, KIND)[0]


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
    provenance = training_studies.provenance(usable, data, settings)
    examples = list(training_studies.load_examples(usable, data, settings).values())
    if not examples:
        raise DatasetError(f"{data.root}: no study with a vertebra in view; are the masks empty?")
    path = pretrained(data, settings)
    train_encoder(path.parent, provenance, examples, settings)
    print(f"{path}: learned from {len(examples)} studies")
    return PARTLY_FAILED if failed else 0
