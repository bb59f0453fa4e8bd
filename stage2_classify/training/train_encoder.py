"""The encoder of vertebrae, trained by itself: within a fold, or once for all from a cohort made to practise on."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.training import train as training
from common.training.task import WEIGHTS
from stage2_classify.pretrained.encoder import KIND, description
from stage2_classify.settings import ClassifySettings

if TYPE_CHECKING:
    from torch import Tensor

    from stage2_classify.training.samples import Example


def train_encoder(
    folder: Path, origin: dict[str, Any], examples: "list[Example]", settings: ClassifySettings
) -> "dict[str, Tensor]":
    """Trains an encoder in `folder` from what `init_path` names, unless that is done; returns its weights."""
    from common.training.weights import load_weights
    from stage2_classify.training.encoder_task import EncoderTask

    if not training.is_current(folder, settings.encoder, origin):
        training.train(EncoderTask(examples, settings), settings.encoder, folder, origin, description(settings))
    return load_weights(folder / WEIGHTS, KIND)[0]
