"""The encoder trained by itself: within a fold, or from all studies of a cohort (configs/pretraining.yaml)."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from common.config import DataSettings
from common.dataset.competition import Competition
from common.errors import PARTLY_FAILED, ConfigError, DatasetError
from common.labels import TARGETS
from common.training import train as training
from common.training.task import WEIGHTS
from stage2_classify.crops.likeness import ranges
from stage2_classify.pretrained.encoder import KIND, description
from stage2_classify.run_folder import stage_folder
from stage2_classify.settings import ClassifySettings
from stage2_classify.training import ground_examples
from stage2_classify.training import studies as training_studies

if TYPE_CHECKING:
    from torch import Tensor

    from stage2_classify.training.samples import Example


def train_encoder(
    folder: Path,
    provenance: dict[str, Any],
    examples: "list[Example]",
    settings: ClassifySettings,
    grounds: "list[Example] | None" = None,
    held_out: "list[Example] | None" = None,
) -> "dict[str, Tensor]":
    """Trains an encoder in `folder` from what `init_path` names, unless that is done; returns its weights, with
    `encoder.steps` 0 those it begins with. `held_out`: studies whose loss the log shows."""
    from common.training.weights import load_weights
    from stage2_classify.training.encoder_task import EncoderTask
    from stage2_classify.training.initial_encoder import initial_encoder

    if settings.encoder.steps == 0:
        return initial_encoder(settings).state_dict()
    if not training.is_current(folder, settings.encoder, provenance):
        task = EncoderTask(examples, settings, grounds, held_out)
        said = description(settings)
        if grounds:
            seen = [example.crops for example in (*examples, *grounds)]
            said["ranges"] = ranges(seen, settings.crops)
        training.train(task, settings.encoder, folder, provenance, said)
    return load_weights(folder / WEIGHTS, KIND)[0]


def pretrained(data: DataSettings, settings: ClassifySettings) -> Path:
    """Where `pretrain` leaves the encoder."""
    return stage_folder(data, settings) / "encoder" / WEIGHTS


def pretrain(data: DataSettings, settings: ClassifySettings) -> int:
    """Trains the encoder alone, on every training study and on healthy scans whose bone is broken (`grounds`); returns
    an exit code. Raises ConfigError for a network without encoder or no steps, DatasetError when there is nothing to
    learn from."""
    if settings.network.kind == "naive":
        raise ConfigError("network.kind is naive, which has no encoder; choose vertebra3d or slices25d")
    if settings.encoder.steps == 0:
        raise ConfigError("encoder.steps is 0: nothing to train; set it (configs/pretraining.yaml and real.yaml do)")
    files, not_made = ground_examples.make(data, settings)
    grounds = ground_examples.load(files)
    of_cohort = settings.grounds.share < 1 or not grounds
    usable, failed = _cohort(data, settings) if of_cohort else (pd.DataFrame(columns=list(TARGETS)), {})
    examples = list(training_studies.load_examples(usable, data, settings).values())
    if not examples and not grounds:
        raise DatasetError(f"{data.root}: no study with a vertebra in view; are the masks empty?")
    provenance = {**training_studies.provenance(usable, data, settings), **ground_examples.provenance(files)}
    path = pretrained(data, settings)
    train_encoder(path.parent, provenance, examples, settings, grounds)
    print(f"{path}: learned from {len(examples)} studies and {len(grounds)} rescanned ones")
    return PARTLY_FAILED if failed or not_made else 0


def _cohort(data: DataSettings, settings: ClassifySettings) -> tuple[pd.DataFrame, dict[str, str]]:
    """The labels of every training study that has crops, and uid -> error of the others."""
    competition = Competition.open(data.root)
    return training_studies.usable_labels(competition, competition.train_labels(), data, settings)
